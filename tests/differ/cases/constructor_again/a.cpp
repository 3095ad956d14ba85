extern "C" int sink(int);
struct Registered {
    Registered(int value) : number(sink(value)) {}
    int number;
};
static Registered existing(1);
#ifdef PATCHED
static Registered another(2);
__attribute__((noinline)) int again_user(int value) {
    return value + existing.number + another.number;
}
#else
__attribute__((noinline)) int again_user(int value) {
    return value + existing.number;
}
#endif
extern "C" void root_constructor_again() {
    again_user(1);
}
