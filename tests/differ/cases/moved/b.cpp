extern "C" int sink(int);
extern int moved_value;
#ifdef PATCHED
int moved_value = 3;
int moved(int value) {
    return sink(value) + moved_value++;
}
#endif
__attribute__((noinline)) int reads() {
    return sink(moved_value);
}
extern "C" void root_moved_b() {
    reads();
}
