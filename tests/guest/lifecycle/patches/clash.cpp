// Of another set than the other patches that change this function.
#include "patch/author.h"
#include "tests/guest/lifecycle/world.h"

GRAFT_PATCH("clash");
GRAFT_PATCH_SET("clash");

namespace graft::lifecycle {
namespace {

u32 new_gamma(Round& round) {
    linger(round, round.in_gamma);
    return 9;
}

}  // namespace

GRAFT_REPLACE(gamma, new_gamma);

}  // namespace graft::lifecycle
