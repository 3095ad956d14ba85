extern "C" int sink(int);
#ifndef PATCHED
[[gnu::noinline]] static int gone(int value) {
    return sink(value) * 2;
}
__attribute__((noinline)) int user_of_gone(int value) {
    return gone(value) + 1;
}
#else
__attribute__((noinline)) int user_of_gone(int value) {
    return sink(value) * 2 + 1;
}
#endif
extern "C" void root_removed_function() {
    user_of_gone(1);
}
