// The first object of the file with a constructor: nothing else runs again.
extern "C" int sink(int);
#ifdef PATCHED
struct Registered {
    Registered() : number(sink(4)) {}
    int number;
};
static Registered registered;
__attribute__((noinline)) int registered_user(int value) {
    return value + registered.number;
}
#else
__attribute__((noinline)) int registered_user(int value) {
    return value + sink(2);
}
#endif
extern "C" void root_new_constructor() {
    registered_user(1);
}
