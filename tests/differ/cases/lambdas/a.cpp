// A lambda added above another renumbers it, and its statics.
extern "C" int sink(int);
extern "C" int call(int (*)(int));
__attribute__((noinline)) int with_lambdas() {
    int sum = 0;
#ifdef PATCHED
    sum += call([](int value) { return sink(value * 77); });
#endif
    sum += call([](int value) {
        static int seen;
        return sink(value) + ++seen;
    });
    return sum;
}
extern "C" void root_lambdas() {
    with_lambdas();
}
