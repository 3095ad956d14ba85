// Takes several hundred times as long.
#include "patch/author.h"
#include "tests/guest/rules/work.h"

GRAFT_PATCH("slow");

namespace graft::rules_test {
namespace {

u64 work_slow() {
    return spin(kSlowRounds);
}

}  // namespace

GRAFT_REPLACE(work, work_slow);

}  // namespace graft::rules_test
