#include "tests/guest/torture/changing.h"

namespace graft::torture {

namespace {

// Cold: GCC moves the branch that calls it into checked()'s split-off part.
[[gnu::cold, gnu::noinline]] u64 complain(Round& round, u64 value) {
    linger(round, Linger::gate);
    return value;
}

}  // namespace

u64 checked(Round& round, u64 value) {
    round.seen |= kOldSide;
    if (round.fail) [[unlikely]] {
        round.random = round.random * 6364136223846793005u + 1442695040888963407u;
        u64 checked_value = complain(round, value);
        round.seen |= kOldSide;
        return checked_value;
    }
    return value;
}

}  // namespace graft::torture
