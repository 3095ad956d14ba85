// The pair, with the ledger's first version.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("pair-1");
GRAFT_PATCH_SET("pair");

namespace graft::lifecycle {
namespace {

u32 new_alpha(Round& round) {
    linger(round, round.in_alpha);
    return 1;
}

u32 new_beta(Round& round) {
    linger(round, round.in_beta);
    return 1;
}

LIFECYCLE_CALLBACKS(File::pair_1, 0)

}  // namespace

GRAFT_REPLACE(alpha, new_alpha);
GRAFT_REPLACE(beta, new_beta);
GRAFT_HOLD(call_pair);
LIFECYCLE_STATE("ledger", .id = kLedger, .version = 1);

}  // namespace graft::lifecycle
