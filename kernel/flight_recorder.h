// FlightRecorder: the last moves of one task from one universe to the other, with time and cause.
//
// Written by whoever moves the task (one at a time, by the rules of moving), read by anybody at any time: each entry is
// one atomic word, so a reader sees whole entries, if perhaps not the newest.
#pragma once

#include <array>
#include <atomic>

#include "base/types.h"
#include "patch/machine.h"

namespace graft::kernel {

struct Move {
    u64 time_us = 0;  // since boot
    patch::MoveCause cause = patch::MoveCause::walk;
    patch::Universe into = patch::Universe::zero;
};

class FlightRecorder {
public:
    static constexpr usize kCapacity = 8;

    void add(u64 time_ns, patch::MoveCause cause, patch::Universe into) {
        u64 word = (time_ns / 1000) << 8 | static_cast<u64>(cause) << 1 | static_cast<u64>(into);
        u64 number = added_.load(std::memory_order_relaxed);
        entries_[number % kCapacity].store(word, std::memory_order_relaxed);
        added_.store(number + 1, std::memory_order_release);  // pairs with read()
    }

    // Oldest first; returns how many entries were filled.
    usize read(std::array<Move, kCapacity>& moves) const {
        u64 added = added_.load(std::memory_order_acquire);  // pairs with add()
        u64 count = added < kCapacity ? added : kCapacity;
        for (u64 i = 0; i < count; ++i) {
            u64 word = entries_[(added - count + i) % kCapacity].load(std::memory_order_relaxed);
            moves[i] = {word >> 8, static_cast<patch::MoveCause>(word >> 1 & 0x7f),
                        static_cast<patch::Universe>(word & 1)};
        }
        return static_cast<usize>(count);
    }

private:
    std::array<std::atomic<u64>, kCapacity> entries_{};
    std::atomic<u64> added_{0};
};

}  // namespace graft::kernel
