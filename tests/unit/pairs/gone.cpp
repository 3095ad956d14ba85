// What changes is gone when the image has booted.
namespace gone {

volatile int sink;

[[gnu::noinline]] int prepare(int value) {
#ifdef AFTER
    return value + 2;
#else
    return value + 1;
#endif
}
int prepared = prepare(sink);

}  // namespace gone
