extern "C" int sink(int);
#ifdef PATCHED
__attribute__((noinline)) int twice(int value) {
    return sink(value * 3);
}
#else
__attribute__((noinline)) int twice(int value) {
    return sink(value * 2);
}
#endif
__attribute__((noinline)) int other(int value) {
    return sink(value) + twice(1);
}
extern "C" void root_changed_code() {
    other(1);
}
