extern "C" int sink(int);
extern "C" int nowhere(int);
__attribute__((noinline)) int needs(int value) {
#ifdef PATCHED
    return nowhere(value);
#else
    return sink(value);
#endif
}
extern "C" void root_undefined() {
    needs(1);
}
