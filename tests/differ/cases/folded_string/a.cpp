// An index into a string that starts at 1, behind another string.
extern "C" int sink(const char*);
__attribute__((noinline)) int folded_digit(long at) {
    int sum = sink("something before");
#ifdef PATCHED
    return sum + "0123456789ABCDEF"[at - 1];
#else
    return sum + "0123456789abcdef"[at - 1];
#endif
}
extern "C" void root_folded_string(long at) {
    folded_digit(at);
}
