extern "C" int sink(int);
struct Thing {
    explicit Thing(int value) : number(sink(value)) {}
    int number;
};
__attribute__((noinline)) int guarded_user(int value) {
    static Thing thing(3);
#ifdef PATCHED
    return thing.number + value * 2;
#else
    return thing.number + value;
#endif
}
extern "C" void root_guarded_static() {
    guarded_user(1);
}
