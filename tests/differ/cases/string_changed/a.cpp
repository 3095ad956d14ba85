extern "C" int sink(const char*);
#ifdef PATCHED
__attribute__((noinline)) int greet() {
    return sink("hello earth") + 1;
}
#else
__attribute__((noinline)) int greet() {
    return sink("hello world") + 1;
}
#endif
extern "C" void root_string_changed() {
    greet();
}
