// Takes several hundred times as long where the canary's share doesn't show it.
#include "patch/author.h"
#include "tests/guest/rules/work.h"

GRAFT_PATCH("late");

namespace graft::rules_test {
namespace {

u64 work_late() {
    return spin(is_other_task() ? kSlowRounds : kRounds);
}

}  // namespace

GRAFT_REPLACE(work, work_late);

}  // namespace graft::rules_test
