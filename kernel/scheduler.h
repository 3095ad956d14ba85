// The scheduler: run queues with 32 priorities a processor, round robin inside a priority, preemption at interrupt
// exit.
//
// A task is placed when it wakes: on the processor it ran on last when that one is idle, else on an idle one, else on
// the least loaded. A processor that runs out of work takes a ready task from another. The kernel's processors don't
// tick while idle.
//
// Locking order between two run queues: only one is waited for at a time; the second is tried (take_from_others()).
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/percpu.h"
#include "base/types.h"
#include "kernel/processor.h"
#include "kernel/task.h"

namespace graft::kernel {

inline constexpr u64 kSliceNs = 10'000'000;

// Gives a processor its kernel data. The boot processor's comes first, before any task is made and before the first
// spinlock is taken where ranks shall be checked. Context: the processor itself, interrupts off.
void adopt_processor(arch::PerCpu& cpu);

// Makes this processor's idle task and runs tasks from now on; the calling flow is given up.
// Context: the processor itself, interrupts off, after adopt_processor().
[[noreturn]] void enter_scheduler();

// The idle task of a processor: listed, never queued. Null when there is no memory (kernel/task.cpp).
[[nodiscard]] Task* make_idle_task(Processor& processor, TaskFunction round);

// Puts a task that was made blocked, with its patch state set, into a run queue for the first time.
// Context: no lock of rank run_queue or above.
void start_task(Task& task);

// The timer interrupt's part: the end of a slice, and the wakeup that this processor watches.
// Context: interrupts off, in the interrupt.
void scheduler_tick();
// At the end of every interrupt: whether another task should run. Context: interrupts off.
bool should_preempt();

// This processor wakes the timer task at `deadline_ns` at the latest. Context: interrupts off.
void watch_deadline(u64 deadline_ns);

// Locks the run queue that a task belongs to, so that a task which isn't running can't begin to.
class TaskQueueGuard {
public:
    explicit TaskQueueGuard(Task& task);
    ~TaskQueueGuard();
    TaskQueueGuard(const TaskQueueGuard&) = delete;
    TaskQueueGuard& operator=(const TaskQueueGuard&) = delete;

    Processor& processor() const { return *processor_; }
    // The task is on a processor right now; then only its own processor may look into it.
    bool is_running() const { return processor_->current == &task_; }

private:
    arch::InterruptsOff off_;
    Task& task_;
    Processor* processor_;
};

}  // namespace graft::kernel
