// Another priority than the existing object's: the compiler makes it a function of its own, and nothing runs again.
extern "C" int sink(int);
struct Registered {
    Registered(int value) : number(sink(value)) {}
    ~Registered() { sink(number); }
    int number;
};
static Registered existing(1);
#ifdef PATCHED
static Registered another [[gnu::init_priority(65000)]] (2);
static Registered third [[gnu::init_priority(65000)]] (3);
__attribute__((noinline)) int own_user(int value) {
    return value + existing.number + another.number + third.number;
}
#else
__attribute__((noinline)) int own_user(int value) {
    return value + existing.number;
}
#endif
extern "C" void root_own_initialiser() {
    own_user(1);
}
