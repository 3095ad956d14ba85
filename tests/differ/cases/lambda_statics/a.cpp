// Two lambdas with statics of one name; one more above them.
extern "C" int sink(int);
extern "C" int call(int (*)(int));
__attribute__((noinline)) int lambda_statics_user() {
    int sum = 0;
#ifdef PATCHED
    sum += call([](int value) {
        static int seen;
        return sink(value * 5) - ++seen;
    });
#endif
    sum += call([](int value) {
        static int seen;
        return sink(value) + ++seen;
    });
    sum += call([](int value) {
        static int seen;
        return sink(value * 2) + ++seen;
    });
    return sum;
}
extern "C" void root_lambda_statics() {
    lambda_statics_user();
}
