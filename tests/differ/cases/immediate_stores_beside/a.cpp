// The addend of a store of a constant counts the constant's bytes, too: what is meant isn't the object before.
extern "C" int sink(int);
#define COUPLE __attribute__((section(".data.couple")))
COUPLE static int left_one = 1;
#ifdef PATCHED
COUPLE static int between = 2;
#endif
COUPLE static int right_one = 3;
__attribute__((noinline)) void store_couple() {
    left_one = 5;
    right_one = 7;
#ifdef PATCHED
    sink(between++);
#endif
}
extern "C" void root_immediate_stores_beside() {
    store_couple();
    sink(left_one + right_one);
}
