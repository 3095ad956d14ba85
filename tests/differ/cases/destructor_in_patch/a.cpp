// The destructor of a static object is registered for whoever has the object.
extern "C" int sink(int);
struct Closer {
    explicit Closer(int value) : number(sink(value)) {}
    ~Closer() { sink(number); }
    int number;
};
__attribute__((noinline)) int closing_patch_user(int value) {
#ifdef PATCHED
    static Closer closing(3);
    return closing.number + value;
#else
    return sink(value);
#endif
}
extern "C" void root_destructor_in_patch() {
    closing_patch_user(1);
}
