#include "tests/guest/torture/changing.h"

namespace graft::torture {

u64 first(Round& round, u64 value) {
    round.seen |= kOldSide;
    linger(round, round.in_first);
    if (round.give_birth) give_birth(round);
    return value * 3;
}

u64 second(Round& round, u64 value) {
    round.seen |= kOldSide;
    linger(round, round.in_second);
    return value + 7;
}

u64 descend(Round& round, u8 depth) {
    round.seen |= kOldSide;
    if (depth == 0) {
        linger(round, round.in_depth);
        return 1;
    }
    return descend(round, static_cast<u8>(depth - 1)) + 1;
}

u64 Both::count() const {
    return calls;
}

// Not inlined into its own thunk, which then is assembly without a call site.
[[gnu::noinline]] u64 Both::touch(Round& round) {
    round.seen |= kOldSide;
    ++calls;
    linger(round, round.in_touch);
    ++touches;
    return 5;
}

}  // namespace graft::torture
