#include "kernel/patch_worker.h"

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "kernel/patch_moves.h"
#include "kernel/task_list.h"
#include "kernel/timers.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

namespace {

constexpr u64 kRetryNs = 1'000'000'000;

constinit CompletionFunction complete = nullptr;  // constant after start_patch_worker()
constinit void* complete_argument = nullptr;
constinit Task* worker_task = nullptr;  // constant after start_patch_worker(); never ends

constinit SpinLock history_lock{LockRank::wait};
constinit WaitQueue history_readers;  // history_lock
constinit u64 generation = 0;         // history_lock

void wait_for_work(bool retry) {
    WakeUp alarm(retry ? arch::now_ns() + kRetryNs : kNever);
    park();
}

// The wait may end for no reason; complete() may be called at any time.
[[gnu::noinline]] bool worker_round(bool retry) {
    wait_for_work(retry);
    return complete(complete_argument);
}

void worker_loop(void*) {
    bool retry = false;
    for (;;) retry = worker_round(retry);
}

}  // namespace

void start_patch_worker(CompletionFunction function, void* argument) {
    complete = function;
    complete_argument = argument;
    TaskOptions options;
    options.name = "patch-worker";
    options.priority = kPatchPriority;
    options.stack_size = 64 * 1024;
    auto handle = create_task(worker_loop, nullptr, options);
    GRAFT_ASSERT(handle);
    worker_task = &handle->task();
    set_patch_worker(*worker_task);
}

void wake_patch_worker() {
    unpark(*worker_task);
}

void note_history() {
    SpinGuard<IrqSave> guard(history_lock);
    ++generation;
    history_readers.wake_all();
}

u64 history_generation() {
    SpinGuard<IrqSave> guard(history_lock);
    return generation;
}

bool wait_for_history(u64 seen, u64 deadline_ns) {
    SpinGuard<IrqSave> guard(history_lock);
    while (generation <= seen) {
        if (history_readers.wait(guard, deadline_ns) == WaitResult::timed_out) return generation > seen;
    }
    return true;
}

}  // namespace graft::kernel
