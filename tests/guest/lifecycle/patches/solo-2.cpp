// Undoes the notes.
#include "patch/author.h"
#include "tests/guest/lifecycle/world.h"

GRAFT_PATCH("solo-2");
GRAFT_PATCH_SET("solo");

namespace graft::lifecycle {
namespace {

u32 new_gamma(Round& round) {
    linger(round, round.in_gamma);
    return 2;
}

}  // namespace

GRAFT_REPLACE(gamma, new_gamma);

}  // namespace graft::lifecycle
