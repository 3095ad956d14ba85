struct Block {
    unsigned long words[40];
};
extern "C" int take(const Block*);
__attribute__((noinline)) int with_constant(int value) {
#ifdef PATCHED
    Block block = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                    21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 9}};
#else
    Block block = {{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                    21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 8}};
#endif
    return take(&block) + value;
}
__attribute__((noinline)) int other_constant(int value) {
    Block block = {{100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113,
                    114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
                    128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139}};
    return take(&block) + value;
}
extern "C" void root_constant_pool() {
    with_constant(1) + other_constant(2);
}
