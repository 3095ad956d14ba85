int brand_new(int value);
extern int brand_new_value;
int old_one(int value);
__attribute__((noinline)) int caller(int value) {
#ifdef PATCHED
    return brand_new(value) + old_one(1) + brand_new_value;
#else
    return old_one(value);
#endif
}
extern "C" void root_across_units_b() {
    caller(1);
}
