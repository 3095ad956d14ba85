extern "C" int sink(void*);
#ifdef PATCHED
struct alignas(64) Wide {
    char bytes[64];
};
static Wide wide = {{1}};
static Wide zeros;
__attribute__((noinline)) int aligned_user(int value) {
    return sink(&wide) + sink(&zeros) + value;
}
#else
__attribute__((noinline)) int aligned_user(int value) {
    return sink(nullptr) + value;
}
#endif
extern "C" void root_alignment() {
    aligned_user(1);
}
