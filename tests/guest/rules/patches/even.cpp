// Takes as long as before.
#include "patch/author.h"
#include "tests/guest/rules/work.h"

GRAFT_PATCH("even");

namespace graft::rules_test {
namespace {

u64 work_even() {
    return spin(kRounds);
}

}  // namespace

GRAFT_REPLACE(work, work_even);

}  // namespace graft::rules_test
