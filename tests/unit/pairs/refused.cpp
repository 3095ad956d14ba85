// Functions that can't be replaced: permanent code, what it calls, and what the compiler left without a call site.

#ifdef AFTER
#define IF_AFTER(after, before) after
#else
#define IF_AFTER(after, before) before
#endif

namespace refused {

volatile int sink;

[[gnu::noinline, gnu::no_instrument_function]] void called_by_permanent() {
    sink = IF_AFTER(11, 1);
}
[[gnu::section(".text.permanent.refused"), gnu::noinline, gnu::no_instrument_function]] void permanent() {
    sink = IF_AFTER(12, 2);
    called_by_permanent();
}
[[gnu::noinline, gnu::no_instrument_function]] void without_site() {
    sink = IF_AFTER(13, 3);
}
[[gnu::noinline]] void replaceable() {
    sink = IF_AFTER(14, 4);
}

}  // namespace refused
