extern "C" int sink(int);
int from_new_file(int value);
__attribute__((noinline)) int file_user(int value) {
#ifdef PATCHED
    return from_new_file(value);
#else
    return sink(value);
#endif
}
extern "C" void root_new_file() {
    file_user(1);
}
