// An instance that the image doesn't have, of a template that it has.
extern "C" int sink(int);
template <int N>
[[gnu::noinline]] int times(int value) {
    return sink(value) * N;
}
__attribute__((noinline)) int instance_user(int value) {
#ifdef PATCHED
    return times<3>(value) + times<5>(value);
#else
    return times<3>(value);
#endif
}
extern "C" void root_template_instance() {
    instance_user(1);
}
