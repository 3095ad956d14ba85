// Of another set than the ledger's patches.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("foreign");
GRAFT_PATCH_SET("foreign");

namespace graft::lifecycle {
namespace {

LIFECYCLE_CALLBACKS(File::foreign, 0)

}  // namespace

LIFECYCLE_STATE("ledger", .id = kLedger, .version = 9);

}  // namespace graft::lifecycle
