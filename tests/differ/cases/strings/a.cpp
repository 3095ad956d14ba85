// s1 and s2 share a literal; touching s1 moves it to the other's section.
extern "C" int sink(const char*);
#ifdef PATCHED
__attribute__((noinline)) int s1() {
    return sink("only mine") + 1;
}
#else
__attribute__((noinline)) int s1() {
    return sink("common text") + 1;
}
#endif
__attribute__((noinline)) int s2() {
    return sink("common text") + 2;
}
__attribute__((noinline)) int s3() {
    return sink("text") + 3;
}
extern "C" void root_strings() {
    s1() + s2() + s3();
}
