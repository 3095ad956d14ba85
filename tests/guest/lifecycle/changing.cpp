#include "tests/guest/lifecycle/world.h"

namespace graft::lifecycle {

u32 alpha(Round& round) {
    linger(round, round.in_alpha);
    return 0;
}

u32 beta(Round& round) {
    linger(round, round.in_beta);
    return 0;
}

u32 gamma(Round& round) {
    linger(round, round.in_gamma);
    return 0;
}

}  // namespace graft::lifecycle
