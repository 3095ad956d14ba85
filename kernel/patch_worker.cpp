#include "kernel/patch_worker.h"

#include <algorithm>
#include <atomic>

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "kernel/patch_moves.h"
#include "kernel/task_list.h"
#include "kernel/timers.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

namespace {

constinit PatchWorkerCalls calls{};  // constant after start_patch_worker()
// Written before the worker is woken, which orders it.
constinit std::atomic<u64> alarm_ns{kNever};
constinit u64 retry_ns = kNever;  // the worker's own: after this time complete() wants to be called again

constinit SpinLock history_lock{LockRank::wait};
constinit WaitQueue history_readers;  // history_lock
constinit u64 generation = 0;         // history_lock

void wait_for_work() {
    u64 until = alarm_ns.load(std::memory_order_relaxed);
    if (retry_ns != kNever) until = std::min(until, arch::now_ns() + retry_ns);
    WakeUp alarm(until);
    if (!take_worker_request()) park();
}

// The wait may end for no reason; complete() and tick() may be called at any time.
void worker_round(void*) {
    wait_for_work();
    report_stopped_tasks(calls.fault);
    retry_ns = calls.complete();
    if (alarm_ns.load(std::memory_order_relaxed) <= arch::now_ns()) {
        alarm_ns.store(kNever, std::memory_order_relaxed);  // tick() sets the next one
        calls.tick();
    }
}

}  // namespace

void start_patch_worker(const PatchWorkerCalls& given) {
    calls = given;
    TaskOptions options;
    options.repeats = true;
    options.name = "patch-worker";
    options.is_own = true;
    options.priority = kPatchPriority;
    options.stack_size = 64 * 1024;
    options.is_needed = true;
    auto handle = create_task(worker_round, nullptr, options);
    GRAFT_ASSERT(handle);
    set_patch_worker(handle->task());
}

void set_patch_alarm(u64 at_ns) {
    alarm_ns.store(at_ns, std::memory_order_relaxed);
    ask_patch_worker();
}

void wake_patch_worker() {
    ask_patch_worker();
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
