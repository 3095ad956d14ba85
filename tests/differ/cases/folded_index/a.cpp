// An index that starts at 1 is folded into the table's address.
extern "C" int sink(int);
static const int before_table[4] = {9, 9, 9, 9};
static const int table[4] = {2, 3, 5, 7};
__attribute__((noinline)) int folded(long at) {
#ifdef PATCHED
    sink(static_cast<int>(at));
#endif
    return table[at - 1] + before_table[at & 3];
}
__attribute__((noinline)) char digit(long at) {
    return "0123456789abcdef"[at - 1];
}
extern "C" void root_folded_index(long at) {
    folded(at) + digit(at);
}
