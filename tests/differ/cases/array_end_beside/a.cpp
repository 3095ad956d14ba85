// Behind the end of one array the next one of the same section begins, and isn't meant.
extern "C" int sink(int);
__attribute__((section(".data.halves"))) int first_half[4] = {1, 2, 3, 4};
__attribute__((section(".data.halves"))) int second_half[4] = {5, 6, 7, 8};
__attribute__((noinline)) int walk_first_half(int value) {
    for (int* at = first_half; at != first_half + 4; ++at) value += sink(*at);
#ifdef PATCHED
    return value + 1;
#else
    return value;
#endif
}
extern "C" void root_array_end_beside() {
    walk_first_half(1);
    sink(second_half[2]);
}
