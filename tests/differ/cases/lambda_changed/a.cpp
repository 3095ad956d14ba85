extern "C" int sink(int);
extern "C" int call(int (*)(int));
__attribute__((noinline)) int two_lambdas() {
    int sum = call([](int value) { return sink(value * 3) + 1; });
#ifdef PATCHED
    sum += call([](int value) { return sink(value * 6) + 2; });
#else
    sum += call([](int value) { return sink(value * 5) + 2; });
#endif
    return sum;
}
extern "C" void root_lambda_changed() {
    two_lambdas();
}
