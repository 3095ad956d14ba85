// A function of the same name and nearly the same body in another file.
extern "C" int sink(int);
[[gnu::noinline]] static int helper(int value) {
    return sink(value + 7) + 1;
}
__attribute__((noinline)) int other_user(int value) {
    return helper(value) + helper(value + 2);
}
extern "C" void root_static_function_b() {
    other_user(1);
}
