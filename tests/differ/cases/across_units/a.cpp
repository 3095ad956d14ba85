// The new function of one file is used by the other.
extern "C" int sink(int);
#ifdef PATCHED
int brand_new_value = 6;
__attribute__((noinline)) int brand_new(int value) {
    return sink(value) * brand_new_value++;
}
#endif
__attribute__((noinline)) int old_one(int value) {
    return sink(value);
}
extern "C" void root_across_units() {
    old_one(1);
}
