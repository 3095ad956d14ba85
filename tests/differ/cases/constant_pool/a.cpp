struct Block {
    unsigned long words[8];
};
extern "C" int take(const Block*);
__attribute__((noinline)) int with_constant(int value) {
#ifdef PATCHED
    Block block = {{1, 2, 3, 4, 5, 6, 7, 9}};
#else
    Block block = {{1, 2, 3, 4, 5, 6, 7, 8}};
#endif
    return take(&block) + value;
}
__attribute__((noinline)) int other_constant(int value) {
    Block block = {{8, 7, 6, 5, 4, 3, 2, 1}};
    return take(&block) + value;
}
extern "C" void root_constant_pool() {
    with_constant(1) + other_constant(2);
}
