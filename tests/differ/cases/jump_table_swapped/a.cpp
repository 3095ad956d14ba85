// Two labels of a switch change places: the code stays as it is, and only its table differs.
extern "C" int sink(int);
#ifdef PATCHED
#define SEVENTH 8
#define EIGHTH 7
#else
#define SEVENTH 7
#define EIGHTH 8
#endif
__attribute__((noinline)) int swapped(int value) {
    switch (value) {
        case 1:
        case SEVENTH:
            return sink(value + 10);
        case 2:
        case EIGHTH:
            return sink(value * 3);
        case 3:
            return sink(7) + 1;
        case 4:
            return sink(8) - 1;
        case 5:
            return sink(value ^ 5);
        case 6:
            return sink(value - 60);
        default:
            return 0;
    }
}
extern "C" void root_jump_table_swapped() {
    swapped(sink(1));
}
