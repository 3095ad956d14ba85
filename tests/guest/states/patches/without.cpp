// Undoes the ledger: it is of the set and doesn't name the state.
#include "tests/guest/states/patches/ledger.h"

GRAFT_PATCH("without");
GRAFT_PATCH_SET("ledger");

namespace graft::states_test {
namespace {

u64 answer_without() {
    return EntryOf::get(&objects[0]) != nullptr ? 200 : 201;
}

}  // namespace

GRAFT_REPLACE(answer, answer_without);

}  // namespace graft::states_test
