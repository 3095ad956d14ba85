// Another literal behind one that ends short of an alignment.
struct Odd {
    long values[40];
    int last;
};
extern "C" int take(const Odd*);
__attribute__((noinline)) int padded(int value) {
    Odd odd = {{9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48},
               77};
    return take(&odd) + value;
}
__attribute__((noinline)) int behind(int value) {
#ifdef PATCHED
    Odd odd = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40},
               78};
    return take(&odd) + value;
#else
    return value + take(nullptr);
#endif
}
extern "C" void root_literal_padding() {
    padded(1) + behind(2);
}
