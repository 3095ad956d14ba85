#include "tests/guest/lifecycle/world.h"

namespace graft::lifecycle {

u32 call_pair(Round& round) {
    u32 first = alpha(round);
    return first * 256 + beta(round);
}

}  // namespace graft::lifecycle
