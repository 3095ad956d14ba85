// Nudges: a task that holds the running transition in an interruptible wait is made to return from it. It gets
// WaitResult::interrupted, goes on, leaves the changing function if it takes that as a reason to, and moves there.
//
// A nudge is for one wait. When that wait ends by itself at the same moment, the nudge is used up and the wait's own
// result stands; it never interrupts a later wait.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/types.h"

namespace graft::kernel {

enum class NudgeFailure : u8 {
    no_task,            // there is no such task, or it has ended
    no_transition,      // none runs
    not_holding,        // the task has moved already
    not_waiting,        // it runs, or is ready to
    not_interruptible,  // it waits for something that can't be interrupted
};
std::string_view name_of(NudgeFailure failure);

// Context: task.
[[nodiscard]] Result<void, NudgeFailure> nudge_task(u64 id);

// Nudges whoever can be; returns how many. Context: task.
u64 nudge_holders();

// From now on nudge_holders() is called each `period_ns`, first after that time; 0: no more, and none is under way when
// this returns. Lock: the registry's. Context: task.
void nudge_each(u64 period_ns);

}  // namespace graft::kernel
