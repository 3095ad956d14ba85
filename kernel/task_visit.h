// Visits: looking into tasks that can't run meanwhile. A task that isn't running is visited under its run queue's lock;
// a running one by its own processor, in an interrupt that shows its registers, or when it stops, whichever comes
// first.
//
// One visit (of one task or of all) runs at a time.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "base/types.h"
#include "kernel/task.h"
#include "kernel/task_list.h"

namespace graft::kernel {

class TaskVisitor {
public:
    // `frame`: the task was interrupted there, on this processor; null: it is switched out (or has exited).
    // Returns kExit flags for the interrupt's exit; without a frame they mean nothing.
    // Context: interrupts off, the task's run queue locked: may neither sleep, wake nor allocate.
    virtual u32 visit(Task& task, arch::InterruptFrame* frame) = 0;

protected:
    ~TaskVisitor() = default;
};

// Returns when every task that was listed at the call was visited once or has gone. Context: task; waits.
void visit_all_tasks(TaskVisitor& visitor);
// False when the task has gone. Context: task; waits.
bool visit_task(u64 id, TaskVisitor& visitor);

// ---- for the scheduler and the check interrupt

// The task was running and has stopped: what was to be done with it is done. Lock: its run queue's.
void visit_stopped_task(Task& task);
// The running task was interrupted by the check or the timer: a task that is alone on its processor never stops, so
// what is due at a stop is done here, too. Returns kExit flags. Context: interrupts off.
u32 visit_interrupted_task(arch::InterruptFrame* frame);

}  // namespace graft::kernel
