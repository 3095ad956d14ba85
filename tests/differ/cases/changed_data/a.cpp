extern "C" int sink(int);
#ifdef PATCHED
int limit = 40;
#else
int limit = 30;
#endif
__attribute__((noinline)) int limited() {
    return sink(limit);
}
extern "C" void root_changed_data() {
    limited();
    limit++;
}
