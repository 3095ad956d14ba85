#include "tests/guest/bench/changing.h"

#include "arch/x86_64/clock.h"

namespace graft::bench {

u64 target() {
    return kOriginal;
}

void gate(Stay& stay) {
    linger(stay);
    stay.left_ns = arch::now_ns();
}

}  // namespace graft::bench
