// The torture patch: every changing function notes the new side and computes the same. Its helpers are new functions
// that stand on top of the stack while the patch is removed.

#include "patch/author.h"
#include "tests/guest/torture/changing.h"

namespace graft::torture {

GRAFT_PATCH("torture-pair");
GRAFT_PATCH_DESCRIPTION("marks the new side in all functions of the round");

namespace {

[[gnu::noinline]] void note(Round& round) {
    round.seen |= kNewSide;
}

// Lingers inside the patch's own text, called by the replacements and itself no replacement.
[[gnu::noinline]] void helper(Round& round, Linger how) {
    note(round);
    linger(round, how);
    note(round);
}

u64 new_first(Round& round, u64 value) {
    helper(round, round.in_first);
    if (round.give_birth) give_birth(round);
    return value + value + value;
}

u64 new_second(Round& round, u64 value) {
    note(round);
    helper(round, round.in_second);
    return value + 7;
}

u64 new_descend(Round& round, u8 depth) {
    note(round);
    if (depth == 0) {
        helper(round, round.in_depth);
        return 1;
    }
    return descend(round, static_cast<u8>(depth - 1)) + 1;
}

u64 new_checked(Round& round, u64 value) {
    note(round);
    if (round.fail) helper(round, Linger::gate);
    return value;
}

u64 new_touch(Both& both, Round& round) {
    helper(round, round.in_touch);
    ++both.calls;
    ++both.touches;
    return 5;
}

GRAFT_REPLACE(first, new_first);
GRAFT_REPLACE(second, new_second);
GRAFT_REPLACE(descend, new_descend);
GRAFT_REPLACE(checked, new_checked);
GRAFT_REPLACE_NAMED("_ZN5graft7torture4Both5touchERNS0_5RoundE", 0, new_touch);
GRAFT_HOLD(round_trip);

}  // namespace

}  // namespace graft::torture
