// The image has this file's copy, and the request doesn't name the file.
#define AFTER sink
#include "tests/differ/cases/inline_owner_not_reached/shared.h"
__attribute__((noinline)) long inline_owner_not_reached_owner(long value) {
    return owned_elsewhere(value) + 1;
}
extern "C" void root_inline_owner_not_reached_owner() {
    inline_owner_not_reached_owner(1);
}
