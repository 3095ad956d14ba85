// Takes the ledger over: it finds the entries that its predecessor made.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("second");
GRAFT_PATCH_SET("ledger");

namespace graft::states_test {
namespace {

u64 answer_second() {
    Entry* entry = EntryOf::get(&objects[1]);
    return entry != nullptr ? 100 + entry->value : 0;
}

STATES_TEST_CALLBACKS("second", 0)

}  // namespace

GRAFT_REPLACE(answer, answer_second);
GRAFT_STATE("ledger", .id = kLedger, .version = 2, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch, .destroy = EntryOf::destroy);

}  // namespace graft::states_test
