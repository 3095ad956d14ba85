// Processor: what the kernel keeps for each processor, above all its run queue.
//
// Locking: `queue_lock` guards the group below it, and the run-queue group of every task that belongs to the queue. It
// is taken with interrupts off and held across the context switch: the task that stops acquires, the one that goes on
// releases. Fields without a lock are this processor's own, with interrupts off.
#pragma once

#include <array>
#include <atomic>

#include "arch/x86_64/percpu.h"
#include "base/intrusive_list.h"
#include "base/types.h"
#include "kernel/lock.h"
#include "kernel/task.h"

namespace graft::kernel {

inline constexpr u64 kNever = ~u64{0};

// The ranks of the spinlocks that a processor holds.
class HeldLocks {
public:
    void check(LockRank rank) const;
    void push(LockRank rank);
    void remove(LockRank rank);
    bool empty() const { return count_ == 0; }

private:
    std::array<LockRank, 8> ranks_{};
    u32 count_ = 0;
};

struct ProcessorStatistics {
    u64 switches = 0;
    u64 preemptions = 0;
    u64 timer_interrupts = 0;
    u64 reschedule_interrupts = 0;
    u64 check_interrupts = 0;
    u64 device_interrupts = 0;
    u64 stolen_tasks = 0;
};

class Processor {
public:
    Processor() = default;
    Processor(const Processor&) = delete;
    Processor& operator=(const Processor&) = delete;

    // ---- constant after its start
    u32 index = 0;
    Task* idle = nullptr;

    // ---- own, interrupts off
    HeldLocks held_locks;
    u64 slice_end_ns = kNever;  // when the running task has had its share; kNever while idle
    u64 timer_due_ns = kNever;  // when the hardware's timer will interrupt
    bool slice_over = false;    // the reschedule that is under way is the end of a slice
    bool in_handler = false;    // inside graft_upcall_interrupt(), whose end looks at `reschedule`
    bool judges_fault = false;  // inside contain_fault(), in which another fault must not lead there again
    u64 wakeup_ns = kNever;     // earliest deadline that this processor watches for the timer task
    ProcessorStatistics statistics;
    arch::Context boot_context;  // of a flow that was given up: never gone back to

    // ---- whether the next interrupt's exit should switch. Set by anybody, cleared by the switch.
    std::atomic<bool> reschedule{false};
    // ---- ready tasks and a running one that isn't idle; read without the lock to place tasks
    std::atomic<u32> load{0};

    // ---- lock: queue_lock
    SpinLock queue_lock{LockRank::run_queue};
    Task* current = nullptr;
    Task* previous = nullptr;  // whom the running switch came from
    IntrusiveList<Task, &Task::run_hook> ready[kPriorityCount];
    u32 ready_mask = 0;  // bit p: ready[p] isn't empty
    u32 ready_count = 0;
};

// The calling processor's, or null before the kernel gave it one. Context: interrupts off.
inline Processor* this_processor_or_null() {
    return static_cast<Processor*>(arch::this_cpu().kernel);
}
// Context: interrupts off, so that the caller can't be moved to another processor.
inline Processor& this_processor() {
    return *this_processor_or_null();
}

// Processors known to the kernel; `index` < processor_count().
u32 processor_count();
Processor& processor(u32 index);

}  // namespace graft::kernel
