// The functions that the bench patch replaces, and how a task stays inside one of them for as long as the driver wants.
#pragma once

#include <atomic>

#include "base/types.h"
#include "kernel/mutex.h"

namespace graft::bench {

inline constexpr u64 kOriginal = 1;
inline constexpr u64 kReplacement = 2;

// Changing. Says which version it is, and does nothing else: what a call of it costs is the way there and back.
u64 target();

// A task's stay in gate(). Each time it is about to wait for an order it posts `waiting`.
struct Stay {
    kernel::Semaphore waiting;
    kernel::Semaphore ordered;
    std::atomic<bool> leave{false};  // the order: leave, or measure calls of target(). Ordered by the semaphores
    u64 rounds = 0;                  // what to measure
    u64 hundredths = 0;              // what was measured
    u64 left_ns = 0;                 // when gate() was about to return
};

// Changing. Returns when the stay is over.
void gate(Stay& stay);

// What gate() does with its time. Unchanged: it runs on the side of its caller.
void linger(Stay& stay);

}  // namespace graft::bench
