#include "tests/guest/canary/view.h"

namespace graft::canary_test {

bool is_new() {
    return false;
}

bool unrelated() {
    return false;
}

void make_inside(std::string_view name) {
    make_witness(name);
}

}  // namespace graft::canary_test
