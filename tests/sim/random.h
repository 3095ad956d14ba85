// A small seeded generator, the same on every machine: a failing seed replays.
#pragma once

#include "base/types.h"

namespace graft::sim {

class Random {
public:
    explicit Random(u64 seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x1234567) { next(); }

    // xorshift64*
    u64 next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }
    // 0 .. limit - 1; `limit` > 0.
    u64 below(u64 limit) { return (next() >> 11) % limit; }
    bool percent(u64 share) { return below(100) < share; }

private:
    u64 state_;
};

}  // namespace graft::sim
