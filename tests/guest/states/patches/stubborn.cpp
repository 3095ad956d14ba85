// Doesn't come to an end of its pre_patch, as far as a test can wait; has no functions.
#include "kernel/timers.h"
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("stubborn");

namespace graft::states_test {
namespace {

i32 take_for_ever() {
    kernel::sleep_ns(1'000'000'000'000);
    return 0;
}

STATES_TEST_CALLBACKS("stubborn", take_for_ever())

}  // namespace

GRAFT_STATE("stubborn", .id = 32, .time_limit_ms = 600'000, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch);

}  // namespace graft::states_test
