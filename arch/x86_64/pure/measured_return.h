// The return addresses that measuring (measuring.h) has taken from a task's stack, innermost last.
#pragma once

#include <array>
#include <span>

#include "base/types.h"

namespace graft::arch {

inline constexpr usize kMaxMeasuredDepth = 16;

struct MeasuredReturn {
    u64 slot = 0;      // the stack address that holds graft_measure_return
    u64 original = 0;  // what stood there
    u64 began_tsc = 0;
    u32 site = 0;  // index in the table of call sites
    u32 generation : 31 = 0;
    u32 side : 1 = 0;
};

struct MeasuredReturns {
    u32 depth = 0;
    std::array<MeasuredReturn, kMaxMeasuredDepth> records{};

    std::span<const MeasuredReturn> open() const { return std::span(records).first(depth); }
};

}  // namespace graft::arch
