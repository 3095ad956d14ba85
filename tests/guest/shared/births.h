// The short-lived tasks of a workload, which can be held back until none is left. Any task may call anything.
#pragma once

#include <atomic>

#include "base/types.h"
#include "kernel/timers.h"

namespace graft::tests {

class Births {
public:
    // Counts a task in that the caller is about to make; false, and nothing counted, while births are held back. It is
    // counted off by end(), by itself or by who couldn't make it.
    [[nodiscard]] bool begin() {
        alive_.fetch_add(1, std::memory_order_seq_cst);  // before the look: pairs with hold()
        if (!held_.load(std::memory_order_seq_cst)) return true;
        end();
        return false;
    }
    void end() { alive_.fetch_sub(1, std::memory_order_acq_rel); }  // pairs with hold()

    // From now on none begins; returns when the last one has ended.
    void hold() {
        held_.store(true, std::memory_order_seq_cst);  // before the look: pairs with begin()
        while (alive_.load(std::memory_order_acquire) != 0) kernel::sleep_ns(kPollNs);
    }
    void allow() { held_.store(false, std::memory_order_release); }

private:
    static constexpr u64 kPollNs = 300'000;

    std::atomic<u64> alive_{0};
    std::atomic<bool> held_{false};
};

}  // namespace graft::tests
