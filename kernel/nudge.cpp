#include "kernel/nudge.h"

#include <atomic>

#include "arch/x86_64/clock.h"
#include "kernel/log.h"
#include "kernel/patch_moves.h"
#include "kernel/scheduler.h"
#include "kernel/task_list.h"
#include "kernel/timers.h"

namespace graft::kernel {

namespace {

constinit std::atomic<u64> period{0};  // 0: the timer doesn't set itself again

void nudge_now_and_then(void*);
constinit Timer timer(nudge_now_and_then, nullptr);

void nudge_now_and_then(void*) {
    nudge_holders();
    // Relaxed: nudge_each() cancels once more after it has set it to 0.
    if (u64 next = period.load(std::memory_order_relaxed)) timer.set(arch::now_ns() + next);
}

// Marks the task's wait; it is still to be woken. Held by its queue's lock, it neither moves nor begins to run.
Result<void, NudgeFailure> mark(Task& task) {
    TaskQueueGuard guard(task);
    if (task.state == TaskState::exited) return fail(NudgeFailure::no_task);
    if (!moves_are_allowed()) return fail(NudgeFailure::no_transition);
    if (is_in_place(task)) return fail(NudgeFailure::not_holding);
    if (task.state != TaskState::blocked) return fail(NudgeFailure::not_waiting);
    WaitState waiting = WaitState::interruptible;
    // Release pairs with InterruptibleWait: whoever sees the nudge sees what happened before it.
    if (task.wait_state.compare_exchange_strong(waiting, WaitState::nudged, std::memory_order_release)) return {};
    if (waiting == WaitState::nudged) return {};  // and has not run since
    return fail(NudgeFailure::not_interruptible);
}

Result<void, NudgeFailure> nudge(Task& task) {
    GRAFT_CHECK(mark(task));
    unpark(task);
    log_parts(LogLevel::info, "task ", task.id, " (", task.name_view(), ") is nudged");
    return {};
}

}  // namespace

std::string_view name_of(NudgeFailure failure) {
    switch (failure) {
        case NudgeFailure::no_task:
            return "there is no such task";
        case NudgeFailure::no_transition:
            return "no transition runs";
        case NudgeFailure::not_holding:
            return "the task doesn't hold the transition";
        case NudgeFailure::not_waiting:
            return "the task isn't waiting";
        case NudgeFailure::not_interruptible:
            return "the task's wait can't be interrupted";
    }
    return "unknown";
}

Result<void, NudgeFailure> nudge_task(u64 id) {
    TaskRef task = find_task(id);
    if (!task) return fail(NudgeFailure::no_task);
    return nudge(*task);
}

u64 nudge_holders() {
    u64 count = 0;
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) {
        if (nudge(*task)) ++count;
    }
    return count;
}

void nudge_each(u64 period_ns) {
    period.store(period_ns, std::memory_order_relaxed);
    timer.cancel();
    if (period_ns != 0) {
        timer.set(arch::now_ns() + period_ns);
        return;
    }
    timer.cancel();  // the callback may have set it at the same moment
}

}  // namespace graft::kernel
