// Switches that become lookup tables: CSWTCH.N.
extern "C" int sink(int);
#ifdef PATCHED
__attribute__((noinline)) int table_before(int kind) {
    switch (kind) {
        case 0:
            return 3;
        case 1:
            return 141;
        case 2:
            return 59;
        case 3:
            return 26;
        case 4:
            return 5;
    }
    return sink(0);
}
#else
__attribute__((noinline)) int table_before(int kind) {
    return sink(kind);
}
#endif
__attribute__((noinline)) int table(int kind) {
    switch (kind) {
        case 0:
            return 31;
        case 1:
            return 41;
        case 2:
            return 5;
        case 3:
            return 926;
        case 4:
            return 53;
    }
    return sink(0);
}
extern "C" void root_switch_constants(int kind) {
    table_before(kind) + table(kind);
}
