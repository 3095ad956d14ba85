// One of the pair only, and no ledger: what its predecessor had done to the other one goes.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("pair-3");
GRAFT_PATCH_SET("pair");

namespace graft::lifecycle {
namespace {

u32 new_alpha(Round& round) {
    linger(round, round.in_alpha);
    return 3;
}

}  // namespace

GRAFT_REPLACE(alpha, new_alpha);
GRAFT_HOLD(call_pair);

}  // namespace graft::lifecycle
