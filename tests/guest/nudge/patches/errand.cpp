// The same, and says that it is new.
#include "tests/guest/nudge/errand.h"
#include "patch/author.h"

GRAFT_PATCH("errand");

namespace graft::nudge_test {
namespace {

void run_errand_new(Way way) {
    do_errand(way, "new");
}

}  // namespace

GRAFT_REPLACE(run_errand, run_errand_new);

}  // namespace graft::nudge_test
