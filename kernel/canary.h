// Canaries: whom the running transition is to move. A canary (patch/canary.h) is limited to the tasks of its share; as
// long as it leads to the new side, everybody else is to be on the old one.
//
// No task outside the share is ever on the new side: so a task that isn't where it is to be always moves to the
// transition's target, which is all that permanent code knows.
//
// A task's membership (Task::is_chosen) and the counts change under the task list's lock. The limit changes only while
// no moves are allowed; whoever asks for it has seen that they are, or holds the task list's lock.
#pragma once

#include "base/types.h"
#include "kernel/task.h"
#include "patch/canary.h"
#include "patch/machine.h"

namespace graft::kernel {

// ---- the transition, for patch_machine_tasks.cpp. Lock: the registry's. Context: task, no moves allowed.

// All tasks are on the old side. Chooses the share.
void limit_moves(const patch::CanaryPolicy& policy, patch::Universe new_side);
void lift_limit();

// ---- asking. Context: any.

// The side on which the task is to be.
patch::Universe goal_of(const Task& task);
// Tasks of the share that aren't on that side; nothing when the transition, as it leads now, is for everybody.
bool is_limited();
u64 chosen_in(patch::Universe universe);
// Of the last canary's share. Context: task.
patch::ShareCount share_count();

// ---- for the task list, under its lock

// The newborn's side, from its creator's, and whether it belongs to the share. Context: the creator, interrupts off.
void assign_newborn(Task& task, patch::Universe creator);
// The task is counted no more.
void forget_chosen(const Task& task);

// ---- for moves. Context: as patch_moves.h.

// The task has got this side.
void count_chosen_move(const Task& task, patch::Universe into);

}  // namespace graft::kernel
