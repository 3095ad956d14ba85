// The place behind a changed function's call site is the image's code.
extern "C" int sink(int);
__attribute__((noinline)) int with_original(int value) {
#ifdef PATCHED
    return reinterpret_cast<int (*)(int)>(reinterpret_cast<unsigned long>(&with_original) + 5)(value) + 1;
#else
    return sink(value);
#endif
}
extern "C" void root_calls_original() {
    with_original(1);
}
