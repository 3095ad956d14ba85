#include "tests/guest/states/answer.h"

namespace graft::states_test {

Object objects[4];

u64 answer() {
    return objects[0].number + 1;
}

}  // namespace graft::states_test
