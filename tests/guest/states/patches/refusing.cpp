// Refuses to be loaded, in its second state.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("refusing");

namespace graft::states_test {
namespace {

STATES_TEST_CALLBACKS("willing", 0)

i32 refuse(u64) {
    kernel::log(kernel::LogLevel::info, "unwilling pre_patch");
    return -7;
}
void undo_refused(u64) {
    kernel::log(kernel::LogLevel::info, "unwilling post_unpatch");
}

}  // namespace

GRAFT_STATE("willing", .id = 21, .pre_patch = pre_patch, .post_patch = post_patch, .pre_unpatch = pre_unpatch,
            .post_unpatch = post_unpatch);
GRAFT_STATE("unwilling", .id = 22, .pre_patch = refuse, .post_unpatch = undo_refused);

}  // namespace graft::states_test
