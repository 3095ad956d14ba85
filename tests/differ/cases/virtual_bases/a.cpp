// While a base with a virtual base is constructed, the object has a table of its own for that.
extern "C" int sink(int);
struct Root {
    virtual int first(int value) { return sink(value); }
    virtual int second(int value) { return sink(value) + 1; }
    int root = 1;
};
struct Middle : virtual Root {
    Middle() { sink(second(2)); }
    int first(int value) override { return sink(value) + 2; }
#ifdef PATCHED
    int second(int value) override { return sink(value) + 3; }
#endif
    int middle = 2;
};
struct Whole final : Middle {
    int first(int value) override { return sink(value) + 4; }
    int second(int value) override { return sink(value) + 5; }
    int whole = 3;
};
extern "C" Root* keep(Root*);
void* operator new(unsigned long, void* place) noexcept;
alignas(8) static char whole_storage[sizeof(Whole)];
__attribute__((noinline)) int make_whole(int value) {
    return keep(new (whole_storage) Whole)->second(value);
}
extern "C" void root_virtual_bases() {
    make_whole(1);
}
