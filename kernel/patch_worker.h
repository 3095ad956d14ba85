// The patch worker: the task that ends transitions. It sleeps until the last task has moved and then has the registry
// complete. It also is where readers of the history wait.
#pragma once

#include "base/types.h"
#include "kernel/processor.h"

namespace graft::kernel {

// Called in the worker whenever the last task may have moved. True: call again in a second, something must be retried.
using CompletionFunction = bool (*)(void* argument);

// Context: boot, once, after the registry exists.
void start_patch_worker(CompletionFunction complete, void* argument);

// Has it call the completion function soon. Context: any with no lock of rank run_queue or above, after the start.
void wake_patch_worker();

// A record was added to the registry's history. Context: task.
void note_history();
// Counts the records added; a reader takes it before it reads and waits for more than it saw.
u64 history_generation();
// Sleeps until the generation is larger than `seen`, or the deadline. False at the deadline. Context: task.
bool wait_for_history(u64 seen, u64 deadline_ns = kNever);

}  // namespace graft::kernel
