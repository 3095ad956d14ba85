#pragma once
extern "C" int sink(int);
[[gnu::noinline]] inline int shared_inline(int value) {
#ifdef PATCHED
    return sink(value) * 12;
#else
    return sink(value) * 11;
#endif
}
