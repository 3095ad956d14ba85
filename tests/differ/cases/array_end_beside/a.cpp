// Behind the end of an array another one of the same section begins, and isn't meant. The compiler may lay them out
// forwards or backwards: something follows the middle one in any case.
extern "C" int sink(int);
#define THIRD __attribute__((section(".data.thirds")))
THIRD int first_third[4] = {1, 2, 3, 4};
THIRD int middle_third[4] = {5, 6, 7, 8};
THIRD int last_third[4] = {9, 10, 11, 12};
__attribute__((noinline)) int walk_middle(int value) {
    for (int* at = middle_third; at != middle_third + 4; ++at) value += sink(*at);
#ifdef PATCHED
    return value + 1;
#else
    return value;
#endif
}
extern "C" void root_array_end_beside() {
    walk_middle(1);
    sink(first_third[2] + last_third[1]);
}
