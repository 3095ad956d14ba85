// Of another set, with the ledger's id.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("foreign");

namespace graft::states_test {
namespace {

STATES_TEST_CALLBACKS("foreign", 0)

}  // namespace

GRAFT_STATE("ledger", .id = kLedger, .version = 9, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch);

}  // namespace graft::states_test
