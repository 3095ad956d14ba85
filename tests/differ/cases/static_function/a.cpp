extern "C" int sink(int);
[[gnu::noinline]] static int helper(int value) {
#ifdef PATCHED
    return sink(value + 7) + 2;
#else
    return sink(value + 7) + 1;
#endif
}
__attribute__((noinline)) int user(int value) {
    return helper(value) + helper(value + 1);
}
extern "C" void root_static_function() {
    user(1);
}
