extern "C" int sink(int*);
#ifdef PATCHED
namespace {
int wandering = 3;
}
#else
int wandering = 3;
#endif
__attribute__((noinline)) int scope_user(int value) {
#ifdef PATCHED
    value *= 3;
#endif
    return sink(&wandering) + value;
}
extern "C" void root_scope_change() {
    scope_user(wandering);
}
