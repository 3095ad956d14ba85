// The linker dropped what nobody used; the patch brings it.
extern "C" int sink(int);
static int idle_state = 9;
__attribute__((noinline)) int idle(int value) {
    return sink(value) + idle_state++;
}
__attribute__((noinline)) int busy(int value) {
#ifdef PATCHED
    return idle(value);
#else
    return sink(value);
#endif
}
extern "C" void root_not_linked() {
    busy(1);
}
