// Of a function's two names only the second is left: it is the same function.
extern "C" {
int sink(int);
#ifdef PATCHED
__attribute__((noipa)) int kept_name(int value) {
    return sink(value) + 9;
}
#else
__attribute__((noipa)) int dropped_name(int value) {
    return sink(value) + 8;
}
int kept_name(int) __attribute__((alias("dropped_name")));
#endif
void root_alias_kept() {
    kept_name(3);
}
}
