// Only what ran at boot changes.
namespace boot_pair {

volatile int sink;

[[gnu::noinline]] int start_value() {
#ifdef AFTER
    return 5;
#else
    return 4;
#endif
}
int started = start_value() + sink;

}  // namespace boot_pair
