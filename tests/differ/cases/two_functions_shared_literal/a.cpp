// A literal that two functions share, in one of which it changes.
struct Numbers {
    long values[40];
};
extern "C" int take(const Numbers*);
__attribute__((noinline)) int shares_one(int value) {
    Numbers numbers = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                        21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}};
    return take(&numbers) + value;
}
__attribute__((noinline)) int shares_two(int value) {
#ifdef PATCHED
    Numbers numbers = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                        21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 10}};
#else
    Numbers numbers = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                        21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}};
#endif
    return take(&numbers) + value + 2;
}
extern "C" void root_two_functions_shared_literal() {
    shares_one(1) + shares_two(2);
}
