// The field of a PC-relative store isn't at the end of its instruction.
static int first;
static char second;
static short third;
static long fourth;
extern "C" int look(int*, char*, short*, long*);
__attribute__((noinline)) void store() {
    first = 5;
    second = 6;
    third = 7;
    fourth = 8;
#ifdef PATCHED
    first = 9;
#endif
    look(&first, &second, &third, &fourth);
}
__attribute__((noinline)) void untouched() {
    fourth = 1;
    third = 2;
    second = 3;
    first = 4;
    look(&first, &second, &third, &fourth);
}
extern "C" void root_immediate_stores() {
    store();
    untouched();
}
