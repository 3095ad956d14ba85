// The bench patch: both replacements do what the originals do, so that only the way to them differs.

#include "arch/x86_64/clock.h"
#include "patch/author.h"
#include "tests/guest/bench/changing.h"

namespace graft::bench {

GRAFT_PATCH("bench");
GRAFT_PATCH_DESCRIPTION("replaces the measured function, and one in which a task waits");

namespace {

u64 new_target() {
    return kReplacement;
}

void new_gate(Stay& stay) {
    linger(stay);
    stay.left_ns = arch::now_ns();
}

GRAFT_REPLACE(target, new_target);
GRAFT_REPLACE(gate, new_gate);

}  // namespace

}  // namespace graft::bench
