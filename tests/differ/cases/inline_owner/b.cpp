// This copy was dropped by the linker.
#define AFTER hold
#include "tests/differ/cases/inline_owner/shared.h"
__attribute__((noinline)) long inline_owner_b(long value) {
    return owned(value) + hold(1);
}
extern "C" void root_inline_owner_b() {
    inline_owner_b(1);
}
