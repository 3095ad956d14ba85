// What was called by one of its two names moves here: the call still means the same.
extern "C" {
int sink(int);
#ifdef PATCHED
__attribute__((noipa)) int moved_work(int value) {
    return sink(value) + 6;
}
int other_name_of_work(int) __attribute__((alias("moved_work")));
#else
int other_name_of_work(int);
#endif
}
__attribute__((noinline)) int alias_user(int value) {
    return other_name_of_work(value) + 1;
}
extern "C" void root_alias_moved() {
    alias_user(1);
}
