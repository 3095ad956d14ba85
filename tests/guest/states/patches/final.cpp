// Takes the ledger over for good.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("final");
GRAFT_PATCH_SET("ledger");

namespace graft::states_test {
namespace {

u64 answer_final() {
    return 300;
}

}  // namespace

GRAFT_REPLACE(answer, answer_final);
GRAFT_STATE("ledger", .id = kLedger, .version = 3, .irreversible = 1);

}  // namespace graft::states_test
