extern "C" {
int sink(int);
#ifndef PATCHED
__attribute__((noipa)) int moved_work(int value) {
    return sink(value) + 6;
}
int other_name_of_work(int) __attribute__((alias("moved_work")));
#else
int other_name_of_work(int);
#endif
}
__attribute__((noinline)) int alias_user_left_behind(int value) {
    return other_name_of_work(value) + 2;
}
extern "C" void root_alias_moved_from() {
    alias_user_left_behind(2);
}
