// The reaper: a task that ends what is left of tasks that have ended: list, stack, joiner. Nobody can do that for
// himself.
#pragma once

#include "kernel/task.h"

namespace graft::kernel {

// Makes the reaper task. Context: boot, after the memory is there.
void start_reaper();

// The task has exited and is on no processor any more. Context: interrupts off, no lock of rank wait or above.
void hand_to_reaper(Task& task);

}  // namespace graft::kernel
