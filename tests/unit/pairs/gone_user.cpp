// A function that runs later calls one that is gone then.
namespace gone {

int prepare(int value);

extern volatile int sink;

[[gnu::noinline]] int late() {
#ifdef AFTER
    return prepare(sink);
#else
    return sink;
#endif
}
// A word of data: anybody may call it.
int (*volatile whoever)() = late;

}  // namespace gone
