// Takes its time in pre_patch, more than it said; has no functions.
#include "kernel/timers.h"
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("slow");

namespace graft::states_test {
namespace {

i32 take_long() {
    kernel::sleep_ns(10'000'000'000);
    return 0;
}

STATES_TEST_CALLBACKS("slow", take_long())

}  // namespace

GRAFT_STATE("slow", .id = 31, .time_limit_ms = 500, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch);

}  // namespace graft::states_test
