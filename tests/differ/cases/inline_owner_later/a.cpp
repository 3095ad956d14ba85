// Looked at first, but linked behind the other: this copy was dropped.
#define AFTER take
#include "tests/differ/cases/inline_owner_later/shared.h"
__attribute__((noinline)) long inline_owner_later_a(long value) {
    return owned_later(value) + 1;
}
extern "C" void root_inline_owner_later_a() {
    inline_owner_later_a(1);
}
