extern "C" int sink(int);
struct Made {
    __attribute__((noinline)) Made();
    ~Made();
    int number;
};
Made::Made() : number(1) {
#ifdef PATCHED
    sink(3);
#else
    sink(2);
#endif
}
Made::~Made() {
    sink(number);
}
extern "C" void root_constructor_aliases() {
    Made made;
    sink(made.number);
}
