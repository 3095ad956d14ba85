#pragma once
extern "C" long sink(long);
extern "C" long take(long);
extern "C" long hold(long);
[[gnu::noinline]] inline long owned_later(long value) {
#ifdef PATCHED
    return AFTER(value) * 12;
#else
    return sink(value) * 11;
#endif
}
