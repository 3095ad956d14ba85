// Numbers at random that a seed repeats.
#pragma once

#include "base/types.h"

namespace graft::tests {

// `state` isn't 0. Inlined, so that a workload's calls are its own.
inline u64 next_random(u64& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

}  // namespace graft::tests
