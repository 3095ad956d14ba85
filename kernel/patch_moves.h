// Moves: how tasks get from one side of a transition to the other, and who learns of the last one.
//
// Causes: `walk` (the task wasn't running and its stack is clear), `interrupt` (its own processor found it clear),
// `hook` (its outermost changing frame returned), `birth` (a new task, before its first code), `exit` (it ended),
// `force` (it was moved whatever it was in; a running one counts as moved by `interrupt`).
//
// Patchable code only says that a running task may move; permanent code writes its state and then calls
// graft_upcall_moved(). A task that isn't running is moved by whoever holds its run queue's lock.
//
// A hook may fire with any spinlock held and interrupts off (a function that acquires one may be the hooked one), so
// what it calls locks nothing; the patch worker is then woken from an interrupt that the processor sends to itself.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "base/types.h"
#include "kernel/task.h"
#include "patch/machine.h"

namespace graft::kernel {

// ---- the transition, for patch_machine.cpp. Lock: the registry's. Context: task.

// No moves are possible before; all tasks are in the other universe.
void allow_moves(const patch::Examiner& examiner, patch::Universe target);
// Afterwards no move happens and no verdict is under way.
void suspend_moves();
// After suspend_moves(): goes on, perhaps in the other direction.
void resume_moves(patch::Universe target);
// After suspend_moves(): the examiner is used no more.
void forget_examiner();

// ---- asking. Context: any.

bool moves_are_allowed();
patch::Universe move_target();
// Those that are to be in the target (kernel/canary.h) and aren't.
u64 tasks_to_move();
// Is the task where it is to be? Lock: its run queue's, or it is the running one and interrupts are off.
bool is_in_place(const Task& task);
// Is the running task, as far as the caller's caller, outside every changing function? Only while moves are allowed.
// Context: task, interrupts off.
bool is_here_clear();
patch::MoveCounts move_counts();

// ---- moving. Context: interrupts off; the task can't run or is this processor's own.

// Moves, hooks or marks the task, or takes its hook off when it is in the target. Returns kExit flags for a running
// task.
u32 examine_task(Task& task, arch::InterruptFrame* frame);
// Moves the task whatever it is in. Returns kExit flags for a running task.
u32 force_task(Task& task, arch::InterruptFrame* frame);
// The task was marked and has stopped running. Lock: its run queue's.
void examine_stopped_task(Task& task);

// The task hasn't run yet. It moves at once: the sweep may be over, and when it runs is up to its priority.
// Lock: its run queue's.
void move_new_task(Task& task);

// ---- exits. Context: task.

// The task has ended and is still counted.
void count_exit(Task& task);
// It isn't any more.
void note_withdrawal();

// ---- the worker that is told of the last move

void set_patch_worker(Task& worker);
// The worker looks at everything once more. Context: any with no lock of rank run_queue or above.
void ask_patch_worker();
// Has it been asked since the last call? A token alone (park()) isn't enough to know: one that comes while the worker
// looks may be taken by a lock that it has to wait for. Context: the worker.
[[nodiscard]] bool take_worker_request();
// Graft's own tasks that wait and haven't moved go one round: they may wait inside a changing function for something
// that never comes, or, the worker, for the last move, which is its own then. Each looks again at what it waits for
// (park()). Context: task.
void wake_unmoved_own_tasks();
// Wakes the worker when that is due. Context: any with no lock of rank run_queue or above.
void report_moves();

}  // namespace graft::kernel
