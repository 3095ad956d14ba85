// From a constant initial value to a guarded initialisation: the object has been in use.
extern "C" int sink(int);
__attribute__((noinline)) int guard_added_user(int value) {
#ifdef PATCHED
    static int number = sink(3);
#else
    static int number;
#endif
    return number++ + value;
}
extern "C" void root_guard_added() {
    guard_added_user(1);
}
