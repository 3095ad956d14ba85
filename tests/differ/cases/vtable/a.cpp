extern "C" int sink(int);
struct Base {
    virtual int work(int value) { return sink(value); }
    virtual int more(int value) { return sink(value) + 1; }
};
struct Derived final : Base {
    int work(int value) override { return sink(value) + 9; }
};
extern "C" Base* keep(Base*);
void* operator new(unsigned long, void* place) noexcept {
    return place;
}
alignas(8) static char storage[16];
__attribute__((noinline)) int make(int value) {
#ifdef PATCHED
    sink(77);
#endif
    return keep(new (storage) Derived)->work(value);
}
extern "C" void root_vtable() {
    make(1);
}
