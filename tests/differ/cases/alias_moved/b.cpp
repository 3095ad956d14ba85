extern "C" {
int sink(int);
#ifndef PATCHED
__attribute__((noipa)) int moved_work(int value) {
    return sink(value) + 6;
}
int other_name_of_work(int) __attribute__((alias("moved_work")));
#endif
void root_alias_moved_from() {
    sink(2);
}
}
