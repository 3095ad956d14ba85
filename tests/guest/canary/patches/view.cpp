// The same, and says that it is new.
#include "tests/guest/canary/view.h"
#include "patch/author.h"

GRAFT_PATCH("view");

namespace graft::canary_test {
namespace {

bool is_new_new() {
    return true;
}

void make_inside_new(std::string_view name) {
    make_witness(name);
}

}  // namespace

GRAFT_REPLACE(is_new, is_new_new);
GRAFT_REPLACE(make_inside, make_inside_new);

}  // namespace graft::canary_test
