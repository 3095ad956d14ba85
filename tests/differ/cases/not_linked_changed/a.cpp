extern "C" int sink(int);
int nobody_calls(int value) {
#ifdef PATCHED
    return sink(value) + 2;
#else
    return sink(value) + 1;
#endif
}
extern "C" void root_not_linked_changed() {
    sink(1);
}
