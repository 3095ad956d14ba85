/* The user of a static local changes, and another of that name comes above it. */
int sink(int);
#ifdef PATCHED
__attribute__((noinline)) int fresh(void) {
    static int n;
    return sink(++n) * 3;
}
__attribute__((noinline)) int user(void) {
    static int n;
    sink(4);
    return sink(++n) + fresh();
}
#else
__attribute__((noinline)) int user(void) {
    static int n;
    return sink(++n);
}
#endif
void root_static_local_changed_user(void) {
    user();
}
