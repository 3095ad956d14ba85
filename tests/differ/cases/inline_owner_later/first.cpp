// Linked first: the image has this file's copy.
#define AFTER hold
#include "tests/differ/cases/inline_owner_later/shared.h"
__attribute__((noinline)) long inline_owner_later_first(long value) {
    return owned_later(value) + hold(1);
}
extern "C" void root_inline_owner_later_first() {
    inline_owner_later_first(1);
}
