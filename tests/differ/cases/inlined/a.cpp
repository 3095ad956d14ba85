extern "C" int sink(int);
static inline int scale(int value) {
#ifdef PATCHED
    return value * 5;
#else
    return value * 4;
#endif
}
__attribute__((noinline)) int first(int value) {
    return sink(scale(value)) + 1;
}
__attribute__((noinline)) int second(int value) {
    return sink(scale(value)) + 2;
}
__attribute__((noinline)) int third(int value) {
    return sink(value) + 3;
}
extern "C" void root_inlined() {
    first(second(third(1)));
}
