// Can't be undone.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("forever");
GRAFT_PATCH_SET("forever");

namespace graft::lifecycle {
namespace {

LIFECYCLE_CALLBACKS(File::forever, 0)

}  // namespace

GRAFT_STATE("forever", .id = 23, .irreversible = 1, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch);

}  // namespace graft::lifecycle
