// Both files' copies change, each in a way of its own: the image has this one's.
#define AFTER take
#include "tests/differ/cases/inline_owner/shared.h"
__attribute__((noinline)) long inline_owner_a(long value) {
    return owned(value) + 1;
}
extern "C" void root_inline_owner_a() {
    inline_owner_a(1);
}
