// Refuses to be loaded, in its second state.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("refusing");
GRAFT_PATCH_SET("refusing");

namespace graft::lifecycle {
namespace {

LIFECYCLE_CALLBACKS(File::refusing, 0)

i32 refuse(u64) {
    return -7;
}

}  // namespace

LIFECYCLE_STATE("willing", .id = 21, .version = 1);
GRAFT_STATE("unwilling", .id = 22, .pre_patch = refuse);

}  // namespace graft::lifecycle
