// What the patches of this test change: the application asks and tells once in a while.
#pragma once

#include "base/types.h"

namespace graft::states_test {

u64 answer();

// An object to attach shadow variables to.
struct Object {
    u64 number = 0;
};
extern Object objects[4];

}  // namespace graft::states_test
