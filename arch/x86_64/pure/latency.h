// Histogram of latencies in ticks of a clock: how many fell into each of a fixed row of steps, and what follows from
// that. Each power of two has 16 steps of equal width, so a step is at most 1/16 of its lower bound (6.25 %), and below
// 16 a step is one tick. What is longer than the last step counts in it.
//
// Counters are atomic and only count: they may be read while others add, and then differ by what is being added.
// Everything here is inlined: permanent code adds, and calls nothing that has a call site. Context: any.
#pragma once

#include <array>
#include <atomic>
#include <bit>

#include "base/types.h"

namespace graft::arch {

inline constexpr u32 kLatencyStepBits = 4;
inline constexpr u64 kLatencySteps = u64{1} << kLatencyStepBits;  // a power of two
inline constexpr u32 kLatencyBits = 42;                           // 2^42 ticks: 20 minutes at 3.6 GHz
inline constexpr usize kLatencyBuckets = (kLatencyBits - kLatencyStepBits + 1) * kLatencySteps;

[[gnu::always_inline]] constexpr usize latency_bucket(u64 ticks) {
    if (ticks < kLatencySteps) return ticks;
    u32 shift = static_cast<u32>(63 - std::countl_zero(ticks)) - kLatencyStepBits;
    usize bucket = (shift + 1) * kLatencySteps + ((ticks >> shift) & (kLatencySteps - 1));
    return bucket < kLatencyBuckets ? bucket : kLatencyBuckets - 1;
}

// The lowest value that falls into a bucket.
[[gnu::always_inline]] constexpr u64 latency_floor(usize bucket) {
    if (bucket < kLatencySteps) return bucket;
    usize shift = bucket / kLatencySteps - 1;
    return (kLatencySteps + bucket % kLatencySteps) << shift;
}

class LatencyHistogram {
public:
    static constexpr u64 kNone = ~u64{0};

    [[gnu::always_inline]] void add(u64 ticks) {
        buckets_[latency_bucket(ticks)].fetch_add(1, std::memory_order_relaxed);
        sum_.fetch_add(ticks, std::memory_order_relaxed);
        u64 least = least_.load(std::memory_order_relaxed);
        while (ticks < least && !least_.compare_exchange_weak(least, ticks, std::memory_order_relaxed)) {
        }
    }

    u64 count() const {
        u64 count = 0;
        for (const auto& bucket : buckets_) count += bucket.load(std::memory_order_relaxed);
        return count;
    }
    u64 sum() const { return sum_.load(std::memory_order_relaxed); }
    // kNone when nothing was added.
    u64 least() const { return least_.load(std::memory_order_relaxed); }

    // The end of the first step at which `percent` of all that was added are reached: at most one step above the real
    // value, and never below it. 0 when nothing was added. `percent`: 1 … 100.
    u64 percentile(u64 percent) const {
        u64 total = count();
        u64 wanted = total / 100 * percent + (total % 100 * percent + 99) / 100;
        u64 reached = 0;
        for (usize i = 0; total != 0 && i < kLatencyBuckets; ++i) {
            reached += buckets_[i].load(std::memory_order_relaxed);
            if (reached >= wanted) return latency_floor(i + 1) - 1;
        }
        return 0;
    }

private:
    std::array<std::atomic<u64>, kLatencyBuckets> buckets_{};
    std::atomic<u64> sum_{0};
    std::atomic<u64> least_{kNone};
};

}  // namespace graft::arch
