// Comments, blank lines and names of parameters mean nothing.
#ifdef PATCHED

#endif
extern "C" int sink(const char*);
static int counter;
__attribute__((noinline)) int noisy(int value) {
    return sink("noisy") + value + ++counter;
}
extern "C" void root_same() {
    noisy(counter);
}
