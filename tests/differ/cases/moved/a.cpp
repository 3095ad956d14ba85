extern "C" int sink(int);
#ifndef PATCHED
int moved_value = 3;
__attribute__((noinline)) int moved(int value) {
    return sink(value) + moved_value++;
}
#else
int moved(int value);
#endif
__attribute__((noinline)) int stays(int value) {
    return sink(value) + 4;
}
extern "C" void root_moved() {
    moved(1) + stays(2);
}
