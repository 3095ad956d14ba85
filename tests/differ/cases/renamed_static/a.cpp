extern "C" int sink(int);
#ifdef PATCHED
static int total_count;
#define COUNT total_count
#else
static int count;
#define COUNT count
#endif
__attribute__((noinline)) int counted(int value) {
    return sink(value) + ++COUNT;
}
__attribute__((noinline)) int also(int value) {
#ifdef PATCHED
    value += 3;
#endif
    return sink(value) + COUNT--;
}
extern "C" void root_renamed_static() {
    counted(1) + also(2);
}
