// Measuring for the patch core: gates, and what is counted at them (arch/x86_64/measuring.h says how it works).
//
// A function is measured from prepare_measuring() to stop_measuring(); its counts are in the records heap and go with
// the latter. Counts are read without stopping anybody: they differ from one another by the calls of that moment.
//
// Lock: the registry's, but where said otherwise. Context: task.
#pragma once

#include <span>

#include "base/types.h"
#include "kernel/task.h"
#include "patch/machine.h"

namespace graft::kernel {

// Context: boot, once, after the call sites were installed and init_patch_memory().
void make_gates();

// Where a call site leads while it is measured. Null when no call site begins there.
[[nodiscard]] VirtAddr gate_of(VirtAddr entry);

// See patch::Machine.
[[nodiscard]] patch::MachineResult<void> prepare_measuring(std::span<const patch::Dispatch> functions,
                                                           patch::Universe settled, patch::Universe new_side);
void measure_both(std::span<const patch::Dispatch> functions, patch::Universe new_side);
void measure_one(std::span<const patch::Dispatch> functions, patch::Universe which, patch::Universe new_side);
void stop_measuring(std::span<const patch::Dispatch> functions);
[[nodiscard]] patch::MeasuredFunction measured(VirtAddr entry);

// The task has had a fault: it counts in the innermost measured call that the task is in, if it is in one whose
// measuring still runs. Context: interrupts off; the task is the running one or can't run. No lock.
void note_measured_fault(const Task& task);

}  // namespace graft::kernel
