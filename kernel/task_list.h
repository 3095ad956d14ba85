// The list of all tasks, in order of their ids, and how many of them are on each side of a transition.
//
// A task is counted from its publication until the reaper takes it off: also while it runs its last code, so that a
// transition can't end (and free text) under a task that is about to end. A new task takes its creator's patch state
// under the list's lock, with interrupts off, so nobody moves the creator in between.
//
// Counts are atomic: a move is written by the task's own processor or under its run queue's lock, never under the
// list's.
#pragma once

#include <array>
#include <atomic>

#include "base/function_ref.h"
#include "base/types.h"
#include "kernel/task.h"
#include "patch/machine.h"

namespace graft::kernel {

// Keeps a task's memory (not its stack) in place.
class TaskRef {
public:
    TaskRef() = default;
    explicit TaskRef(Task& task);  // takes a reference; the caller knows that the task is alive
    TaskRef(TaskRef&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
    TaskRef& operator=(TaskRef&& other) noexcept;
    ~TaskRef() { reset(); }

    void reset();
    explicit operator bool() const { return task_ != nullptr; }
    Task& operator*() const { return *task_; }
    Task* operator->() const { return task_; }

private:
    Task* task_ = nullptr;
};

// Gives up a reference and, with the last one, the task's memory.
void release_task(Task& task);

// Gives the task an id, its creator's patch state, and a place in the list. Context: interrupts on or off.
void publish_task(Task& task);
// The task has ended and is on no processor: off the list and no longer counted. Context: task.
void withdraw_task(Task& task);

// The task after `previous` in order of ids (the first one for an empty reference), or an empty reference at the end.
// `previous` need not be listed any more. Walks all tasks in bounded steps; new ones come at the end.
TaskRef next_task(TaskRef previous);
TaskRef find_task(u64 id);
u64 task_count();
// Runs `act` with the list's lock held: nobody is born or withdrawn meanwhile. Shortly: interrupts are off.
void hold_list(FunctionRef<void()> act);
// Every listed task. Only inside hold_list().
void visit_held(FunctionRef<void(Task&)> visit);
// The highest id given out so far.
u64 newest_task_id();

// ---- counts by universe ----

u64 tasks_in(patch::Universe universe);
// A task's patch state was changed from the other universe to `into`.
void count_move(patch::Universe into);

}  // namespace graft::kernel
