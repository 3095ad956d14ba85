extern "C" int sink(const char*);
#ifdef PATCHED
static int log_count;
[[gnu::noinline]] static int added(int value) {
    return sink("added") + value + ++log_count;
}
__attribute__((noinline)) int grown(int value) {
    return added(value) + 1;
}
#else
__attribute__((noinline)) int grown(int value) {
    return value + sink("grown");
}
#endif
extern "C" void root_new_function() {
    grown(1);
}
