// The pair; takes the ledger over in its second version.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("pair-2");
GRAFT_PATCH_SET("pair");

namespace graft::lifecycle {
namespace {

u32 new_alpha(Round& round) {
    linger(round, round.in_alpha);
    return 2;
}

u32 new_beta(Round& round) {
    linger(round, round.in_beta);
    return 2;
}

LIFECYCLE_CALLBACKS(File::pair_2, 0)

}  // namespace

GRAFT_REPLACE(alpha, new_alpha);
GRAFT_REPLACE(beta, new_beta);
GRAFT_HOLD(call_pair);
LIFECYCLE_STATE("ledger", .id = kLedger, .version = 2);

}  // namespace graft::lifecycle
