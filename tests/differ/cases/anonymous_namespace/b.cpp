extern "C" int sink(int);
namespace {
int state = 1;
[[gnu::noinline]] int anon(int value) {
    return sink(value) + ++state;
}
}  // namespace
__attribute__((noinline)) int anon_b(int value) {
    return anon(value) + anon(3);
}
extern "C" void root_anonymous_namespace_b() {
    anon_b(1);
}
