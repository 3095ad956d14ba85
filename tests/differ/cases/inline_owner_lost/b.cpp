// The copy that was dropped is the only one left.
#define AFTER hold
#include "tests/differ/cases/inline_owner_lost/shared.h"
__attribute__((noinline)) long inline_owner_lost_b(long value) {
    return owned_no_more(value) + hold(1);
}
extern "C" void root_inline_owner_lost_b() {
    inline_owner_lost_b(1);
}
