#include "kernel/reaper.h"

#include "base/assert.h"
#include "kernel/patch_moves.h"
#include "kernel/stacks.h"
#include "kernel/task_list.h"

namespace graft::kernel {

namespace {

// A stack of tasks, linked by Task::next_to_reap. Release in hand_to_reaper() pairs with acquire in reaper_round().
constinit std::atomic<Task*> ended{nullptr};
constinit Task* reaper = nullptr;  // constant after start_reaper()

void reap(Task& task) {
    count_exit(task);
    withdraw_task(task);
    note_withdrawal();
    release_stack(task.stack);
    {
        SpinGuard<IrqSave> guard(task.exit_lock);
        task.finished = true;
        if (task.joiner) unpark(*task.joiner);
    }
    report_moves();
    release_task(task);
}

void reaper_round(void*) {
    Task* task = ended.exchange(nullptr, std::memory_order_acquire);
    if (!task) {
        park();
        return;
    }
    while (task) {
        Task* next = task->next_to_reap;
        reap(*task);
        task = next;
    }
}

}  // namespace

void start_reaper() {
    TaskOptions options;
    options.repeats = true;
    options.name = "reaper";
    options.is_own = true;
    options.priority = kServicePriority;
    options.is_needed = true;
    options.uses_sse = false;
    auto handle = create_task(reaper_round, nullptr, options);
    GRAFT_ASSERT(handle);
    reaper = find_task(handle->id()).operator->();
}

void hand_to_reaper(Task& task) {
    task.references.fetch_add(1, std::memory_order_relaxed);  // the reaper's; the running switch holds the task alive
    task.next_to_reap = ended.load(std::memory_order_relaxed);
    while (
        !ended.compare_exchange_weak(task.next_to_reap, &task, std::memory_order_release, std::memory_order_relaxed)) {
    }
    unpark(*reaper);
}

}  // namespace graft::kernel
