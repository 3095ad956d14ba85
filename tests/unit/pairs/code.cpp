// Code before and after a diff: who is held, what only runs at boot, what was inlined, what never returns.

#ifdef AFTER
#define IF_AFTER(after, before) after
#else
#define IF_AFTER(after, before) before
#endif

namespace code {

volatile int sink;

[[gnu::noinline]] void first() {
    sink = IF_AFTER(11, 1);
}
[[gnu::noinline]] void second() {
    sink = IF_AFTER(12, 2);
}
[[gnu::noinline]] void third() {
    sink = 3;
}

[[gnu::noinline]] void calls_both() {
    first();
    sink = sink + 1;
    second();
    sink = sink + 1;
}
[[gnu::noinline]] void calls_one_twice() {
    first();
    sink = sink + 1;
    first();
    third();
}
[[noreturn, gnu::noinline]] void main_loop() {
    for (;;) {
        first();
        second();
        calls_both();
        calls_one_twice();
    }
}

[[gnu::noinline]] void set_up() {
    sink = IF_AFTER(101, 100);
    third();
}

[[noreturn, gnu::noinline]] void endless() {
    for (;;) sink = IF_AFTER(21, 20);
}

inline int clamp(int value) {
    return value > IF_AFTER(99, 100) ? 0 : value;
}
[[gnu::noinline]] int uses_clamp(int value) {
    return clamp(sink + value) + 1;
}

inline int innermost(int value) {
    return value > IF_AFTER(49, 50) ? 0 : value;
}
inline int around(int value) {
    return innermost(value + sink) * 3;
}
[[gnu::noinline]] int uses_nested(int value) {
    return around(value) - 4;
}

#ifdef AFTER
[[gnu::noinline]] int helper(int value) {
    return value * sink;
}
[[gnu::noinline]] void new_callback() {
    sink = 7;
}
#else
inline int helper(int value) {
    return value * sink;
}
#endif
[[gnu::noinline]] int loses_inlined(int value) {
    return helper(value) + 2;
}
#ifdef AFTER
inline int joined(int value) {
    return value - sink;
}
#else
[[gnu::noinline]] int joined(int value) {
    return value - sink;
}
#endif
[[gnu::noinline]] int gains_inlined(int value) {
    return joined(value) * 7;
}

void (*callback)() = third;
[[gnu::noinline]] void stores_callback() {
#ifdef AFTER
    callback = new_callback;
#else
    callback = third;
#endif
}

void use_all() {
    stores_callback();
    sink = uses_clamp(1) + loses_inlined(2);
    endless();
}
void (*volatile task_entry)() = use_all;

}  // namespace code

extern "C" [[noreturn]] void pairs_start() {
    code::set_up();
    code::task_entry();
    code::main_loop();
}
