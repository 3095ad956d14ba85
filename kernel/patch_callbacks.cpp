#include "kernel/patch_callbacks.h"

#include <atomic>

#include "base/assert.h"
#include "kernel/dead_stack.h"
#include "kernel/lock.h"
#include "kernel/patch_worker.h"
#include "kernel/shadow.h"
#include "kernel/task.h"

namespace graft::kernel {

namespace {

constexpr usize kStackSize = 64 * 1024;

struct CallbackDesk {
    bool is_asked = false;
    patch::CallbackCall call;
    std::optional<patch::CallbackEnd> end;
};

constinit SpinLock desk_lock{LockRank::wait};
constinit CallbackDesk desk;                    // desk_lock
constinit Task* callback_task = nullptr;        // constant after start_callback_task(); never ends
constinit std::atomic<bool> is_inside = false;  // the task is in a callback; written by itself

i64 run(const patch::CallbackCall& call) {
    switch (call.kind) {
        case patch::CallbackCall::Kind::may_refuse:
            return call.function.as<i32(u64)>()(call.state);
        case patch::CallbackCall::Kind::plain:
            call.function.as<void(u64)>()(call.state);
            return 0;
        case patch::CallbackCall::Kind::end_shadow:
            return static_cast<i64>(shadow_store().end_all(call.state, call.function.as<void(void*)>()));
    }
    return 0;
}

bool take_call(patch::CallbackCall& call) {
    SpinGuard<IrqSave> guard(desk_lock);
    if (!desk.is_asked) return false;
    desk.is_asked = false;
    call = desk.call;
    // A word into the patch; from here on only this task's stack has it.
    desk.call = {};
    return true;
}

void report(const patch::CallbackEnd& end) {
    SpinGuard<IrqSave> guard(desk_lock);
    desk.end = end;
}

// A function of its own, so that nothing of a callback stays on the stack of a task that waits for the next one.
[[gnu::noinline]] bool run_one() {
    patch::CallbackCall call;
    if (!take_call(call)) return false;
    is_inside.store(true, std::memory_order_relaxed);
    i64 value = run(call);
    is_inside.store(false, std::memory_order_relaxed);
    report({.value = value});
    return true;
}

void callback_round(void*) {
    clear_dead_stack(kStackSize);  // begun anew after a fault, it stands on what that callback has left
    if (run_one())
        wake_patch_worker();
    else
        park();
}

}  // namespace

void start_callback_task() {
    TaskOptions options;
    options.repeats = true;
    options.name = kCallbackTaskName;
    options.is_own = true;
    options.stack_size = kStackSize;
    options.is_needed = true;
    auto handle = create_task(callback_round, nullptr, options);
    GRAFT_ASSERT(handle);
    callback_task = &handle->task();
}

void start_callback(const patch::CallbackCall& call) {
    {
        SpinGuard<IrqSave> guard(desk_lock);
        desk.call = call;
        desk.is_asked = true;
        desk.end.reset();
    }
    unpark(*callback_task);
}

std::optional<patch::CallbackEnd> callback_end() {
    SpinGuard<IrqSave> guard(desk_lock);
    return desk.end;
}

u64 callback_task_id() {
    return callback_task->id;
}

bool runs_a_callback(const Task& task) {
    return &task == callback_task && is_inside.load(std::memory_order_relaxed);
}

void end_faulted_callback() {
    current_task().is_stopping = false;
    is_inside.store(false, std::memory_order_relaxed);
    report({.faulted = true});
    wake_patch_worker();
    restart_task();
}

}  // namespace graft::kernel
