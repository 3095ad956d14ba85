// A new case changes the table; the code around it may stay the same.
extern "C" int sink(int);
__attribute__((noinline)) int dispatch(int kind) {
    switch (kind) {
        case 0:
            return sink(11);
        case 1:
            return sink(kind) + 5;
        case 2:
            return sink(33);
        case 3:
            return sink(kind) - 4;
        case 4:
            return sink(55) * 3;
#ifdef PATCHED
        case 5:
            return sink(11);
#else
        case 5:
            return sink(33);
#endif
        case 6:
            return sink(7) * 7;
    }
    return 0;
}
__attribute__((noinline)) int bystander(int kind) {
    switch (kind) {
        case 0:
            return sink(1);
        case 1:
            return sink(kind) + 2;
        case 2:
            return sink(3);
        case 3:
            return sink(kind) - 14;
        case 4:
            return sink(5) * 13;
        case 5:
            return sink(6) * 3;
    }
    return 0;
}
extern "C" void root_jump_table(int kind) {
    dispatch(kind) + bystander(kind);
}
