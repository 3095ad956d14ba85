// The image has another file's copy.
#define AFTER take
#include "tests/differ/cases/inline_owner_not_reached/shared.h"
__attribute__((noinline)) long inline_owner_not_reached_user(long value) {
    return owned_elsewhere(value) + 1;
}
extern "C" void root_inline_owner_not_reached_user() {
    inline_owner_not_reached_user(1);
}
