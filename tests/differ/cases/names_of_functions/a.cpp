// __func__ and __PRETTY_FUNCTION__ are constants without identity.
extern "C" int sink(const char*);
#ifdef PATCHED
__attribute__((noinline)) int named_before() {
    return sink(__func__) + 1;
}
#else
__attribute__((noinline)) int named_before() {
    return sink("") + 1;
}
#endif
__attribute__((noinline)) int named() {
    return sink(__func__) + sink(__PRETTY_FUNCTION__);
}
template <typename T>
__attribute__((noinline)) int templated(T) {
    return sink(__PRETTY_FUNCTION__);
}
extern "C" void root_names_of_functions() {
    named_before() + named() + templated(1);
}
