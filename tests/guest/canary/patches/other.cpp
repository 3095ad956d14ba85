// A patch of a set of its own, for what others are told while a canary runs.
#include "patch/author.h"
#include "tests/guest/canary/view.h"

GRAFT_PATCH("other");

namespace graft::canary_test {
namespace {

bool unrelated_new() {
    return true;
}

}  // namespace

GRAFT_REPLACE(unrelated, unrelated_new);

}  // namespace graft::canary_test
