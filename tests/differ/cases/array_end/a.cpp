extern "C" int sink(const int*);
static int before_it = 1;
static int array[16] = {1};
static int behind_it = 2;
__attribute__((noinline)) int sum() {
    int total = 0;
    for (int* at = array; at != array + 16; ++at) total += *at + sink(at);
#ifdef PATCHED
    total += 2;
#endif
    return total + sink(&before_it) + sink(&behind_it);
}
extern "C" void root_array_end() {
    sum();
}
