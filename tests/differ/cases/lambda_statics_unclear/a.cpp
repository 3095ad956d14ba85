// One lambda more, and the old one changed as well: whose static is whose?
extern "C" int sink(int);
extern "C" int call(int (*)(int));
__attribute__((noinline)) int unclear_user() {
    int sum = 0;
#ifdef PATCHED
    sum += call([](int value) {
        static int seen;
        return sink(value * 5) - ++seen;
    });
    sum += call([](int value) {
        static int seen;
        return sink(value * 7) * ++seen;
    });
#else
    sum += call([](int value) {
        static int seen;
        return sink(value) + ++seen;
    });
#endif
    return sum;
}
extern "C" void root_lambda_statics_unclear() {
    unclear_user();
}
