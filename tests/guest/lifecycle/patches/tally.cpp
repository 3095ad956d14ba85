// A state and no function.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("tally-1");
GRAFT_PATCH_SET("tally");

namespace graft::lifecycle {
namespace {

LIFECYCLE_CALLBACKS(File::tally, 0)

}  // namespace

LIFECYCLE_STATE("tally", .id = 0x7a117, .version = 1);

}  // namespace graft::lifecycle
