// The address of a changed function is the image's.
extern "C" int sink(int);
extern "C" void remember(int (*)(int));
[[gnu::noinline]] static int callback(int value) {
#ifdef PATCHED
    return sink(value) + 2;
#else
    return sink(value) + 1;
#endif
}
__attribute__((noinline)) void install(int value) {
#ifdef PATCHED
    sink(value);
#endif
    remember(callback);
}
extern "C" void root_function_pointer() {
    install(1);
}
