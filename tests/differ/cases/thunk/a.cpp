// A body that is inlined into its thunk changes there, too.
extern "C" int sink(int);
struct First {
    virtual int first(int value) { return sink(value); }
    int a;
};
struct Second {
    virtual int second(int value) { return sink(value) + 1; }
    int b;
};
struct Both final : First, Second {
    int second(int value) override;
};
int Both::second(int value) {
#ifdef PATCHED
    return sink(value) * b + 5;
#else
    return sink(value) * b + 4;
#endif
}
extern "C" Second* keep(Second*);
__attribute__((noinline)) int thunk_user(Both* both) {
    return keep(both)->second(1);
}
extern "C" void root_thunk() {
    static Both both;
    thunk_user(&both);
}
