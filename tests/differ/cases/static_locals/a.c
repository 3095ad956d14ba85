/* Numbers of static locals move when one is added above. */
int sink(int);
#ifdef PATCHED
__attribute__((noinline)) int before(void) {
    static int n;
    return sink(++n) * 3;
}
#else
__attribute__((noinline)) int before(void) {
    return sink(1) * 3;
}
#endif
__attribute__((noinline)) int middle(void) {
    static int n;
    return sink(++n) + 1;
}
__attribute__((noinline)) int last(void) {
    static int n = 5;
    n += sink(n);
    return n;
}
void root_static_locals(void) {
    before();
    middle();
    last();
}
