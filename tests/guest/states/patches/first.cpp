// Makes the ledger and attaches an entry to each object.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("first");
GRAFT_PATCH_SET("ledger");

namespace graft::states_test {
namespace {

i32 attach() {
    u64 value = 10;
    for (Object& object : objects) {
        if (EntryOf::get_or_alloc(&object, value++) == nullptr) return -1;
    }
    return 0;
}

u64 answer_first() {
    Entry* entry = EntryOf::get(&objects[0]);
    return entry != nullptr ? entry->value : 0;
}

STATES_TEST_CALLBACKS("first", attach())

}  // namespace

GRAFT_REPLACE(answer, answer_first);
GRAFT_STATE("ledger", .id = kLedger, .version = 1, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch, .destroy = EntryOf::destroy);

}  // namespace graft::states_test
