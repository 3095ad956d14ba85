#include "kernel/task_list.h"

#include "base/assert.h"
#include "kernel/canary.h"
#include "kernel/processor.h"

namespace graft::kernel {

namespace {

using List = IntrusiveList<Task, &Task::all_hook>;

constinit SpinLock list_lock{LockRank::task_list};
constinit List all_tasks;   // lock: list_lock; ascending ids
constinit u64 last_id = 0;  // lock: list_lock

// Both are only added to and subtracted from; who reads zero after the last move of a transition reads it after the
// acquire-release chain of those subtractions.
constinit std::array<std::atomic<u64>, 2> counts{};

std::atomic<u64>& count_of(patch::Universe universe) {
    return counts[static_cast<usize>(universe)];
}

// Lock: list_lock.
Task* first_after(u64 id) {
    for (Task& task : all_tasks) {
        if (task.id > id) return &task;
    }
    return nullptr;
}

}  // namespace

TaskRef::TaskRef(Task& task) : task_(&task) {
    task.references.fetch_add(1, std::memory_order_relaxed);  // the caller's own hold orders it
}

TaskRef& TaskRef::operator=(TaskRef&& other) noexcept {
    if (this == &other) return *this;
    reset();
    task_ = std::exchange(other.task_, nullptr);
    return *this;
}

void TaskRef::reset() {
    if (Task* task = std::exchange(task_, nullptr)) release_task(*task);
}

void publish_task(Task& task) {
    SpinGuard<IrqSave> guard(list_lock);
    task.id = ++last_id;
    Processor* self = this_processor_or_null();
    bool has_creator = self && arch::this_cpu().context;
    assign_newborn(task, static_cast<patch::Universe>(has_creator ? arch::this_cpu().patch_state : 0));
    count_of(static_cast<patch::Universe>(task.context.patch_state)).fetch_add(1, std::memory_order_acq_rel);
    task.counted = true;
    task.references.fetch_add(1, std::memory_order_relaxed);  // the list's own, ordered by its lock
    all_tasks.push_back(task);
}

void withdraw_task(Task& task) {
    {
        SpinGuard<IrqSave> guard(list_lock);
        all_tasks.remove(task);
        task.counted = false;
        count_of(static_cast<patch::Universe>(task.context.patch_state)).fetch_sub(1, std::memory_order_acq_rel);
        forget_chosen(task);
    }
    release_task(task);
}

TaskRef next_task(TaskRef previous) {
    SpinGuard<IrqSave> guard(list_lock);
    Task* next = nullptr;
    if (!previous) {
        next = all_tasks.front();
    } else if (previous->all_hook.is_linked()) {
        next = all_tasks.next(*previous);
    } else {
        next = first_after(previous->id);
    }
    return next ? TaskRef(*next) : TaskRef();
}

TaskRef find_task(u64 id) {
    SpinGuard<IrqSave> guard(list_lock);
    for (Task& task : all_tasks) {
        if (task.id == id) return TaskRef(task);
    }
    return {};
}

u64 task_count() {
    return count_of(patch::Universe::zero).load(std::memory_order_relaxed) +
           count_of(patch::Universe::one).load(std::memory_order_relaxed);
}

void hold_list(FunctionRef<void()> act) {
    SpinGuard<IrqSave> guard(list_lock);
    act();
}

void visit_held(FunctionRef<void(Task&)> visit) {
    for (Task& task : all_tasks) visit(task);
}

u64 newest_task_id() {
    SpinGuard<IrqSave> guard(list_lock);
    return last_id;
}

u64 tasks_in(patch::Universe universe) {
    return count_of(universe).load(std::memory_order_acquire);  // pairs with count_move() and withdraw_task()
}

void count_move(patch::Universe into) {
    count_of(into).fetch_add(1, std::memory_order_acq_rel);
    count_of(patch::other(into)).fetch_sub(1, std::memory_order_acq_rel);
}

}  // namespace graft::kernel
