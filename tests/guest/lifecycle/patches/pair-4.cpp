// No function: what its predecessor changed goes back to the original, and the ledger stays.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("pair-4");
GRAFT_PATCH_SET("pair");

namespace graft::lifecycle {
namespace {

LIFECYCLE_CALLBACKS(File::pair_4, 0)

}  // namespace

LIFECYCLE_STATE("ledger", .id = kLedger, .version = 2);

}  // namespace graft::lifecycle
