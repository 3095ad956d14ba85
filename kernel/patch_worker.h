// The patch worker: the task that ends transitions. It sleeps until the last task has moved and then has the registry
// complete, or until something is due. It also is where readers of the history wait.
#pragma once

#include "base/types.h"
#include "kernel/fault.h"
#include "kernel/processor.h"

namespace graft::kernel {

// What the worker calls.
struct PatchWorkerCalls {
    // Whenever the last task may have moved. Returns when it wants to be called again at the latest, from then on in
    // ns; kNever: when there is something new.
    u64 (*complete)();
    // At the time of set_patch_alarm().
    void (*tick)();
    // For each task that was stopped after a fault in a patch, before complete().
    StoppedTaskSink fault;
};

// Context: boot, once, after the registry exists.
void start_patch_worker(const PatchWorkerCalls& calls);

// Has it call tick() once at this time, in place of what was set before; kNever: not at all. Lock: the registry's.
// Context: task, after the start.
void set_patch_alarm(u64 at_ns);

// Has it call the completion function soon. Context: any with no lock of rank run_queue or above, after the start.
void wake_patch_worker();

// A record was added to the registry's history. Context: task.
void note_history();
// Counts the records added; a reader takes it before it reads and waits for more than it saw.
u64 history_generation();
// Sleeps until the generation is larger than `seen`, or the deadline. False at the deadline. Context: task.
bool wait_for_history(u64 seen, u64 deadline_ns = kNever);

}  // namespace graft::kernel
