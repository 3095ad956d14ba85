// Waiting for what must come about, in tests inside the image. Context: task.
#pragma once

#include "arch/x86_64/clock.h"
#include "kernel/timers.h"

namespace graft::tests {

inline constexpr u64 kMillisecond = 1'000'000;   // in ns
inline constexpr u64 kHangNs = 120'000'000'000;  // a hang detector, not a performance target
inline constexpr u64 kLookAgainNs = kMillisecond / 2;

// Waits until `condition` holds, or tells that it never does.
template <typename Condition>
[[nodiscard]] bool eventually(Condition&& condition) {
    u64 bound = arch::now_ns() + kHangNs;
    while (!condition()) {
        if (arch::now_ns() > bound) return false;
        kernel::sleep_ns(kLookAgainNs);
    }
    return true;
}

}  // namespace graft::tests
