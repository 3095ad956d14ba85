extern "C" int sink(int);
namespace {
int state = 1;
[[gnu::noinline]] int anon(int value) {
#ifdef PATCHED
    return sink(value) + ++state + 1;
#else
    return sink(value) + ++state;
#endif
}
}  // namespace
__attribute__((noinline)) int anon_a(int value) {
    return anon(value) + anon(2);
}
extern "C" void root_anonymous_namespace() {
    anon_a(1);
}
