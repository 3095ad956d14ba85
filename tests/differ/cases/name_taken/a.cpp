extern "C" int sink(int);
#ifdef PATCHED
extern "C" int taken_name(int value) {
    return sink(value) + 1;
}
__attribute__((noinline)) int name_user(int value) {
    return taken_name(value);
}
#else
__attribute__((noinline)) int name_user(int value) {
    return sink(value);
}
#endif
extern "C" void root_name_taken() {
    name_user(1);
}
