// The image has this file's copy, but the patched file has none.
#ifndef PATCHED
#include "tests/differ/cases/inline_owner_lost/shared.h"
#endif
extern "C" long sink(long);
__attribute__((noinline)) long inline_owner_lost_a(long value) {
#ifdef PATCHED
    return sink(value) + 1;
#else
    return owned_no_more(value) + 1;
#endif
}
extern "C" void root_inline_owner_lost_a() {
    inline_owner_lost_a(1);
}
