#include "kernel/task.h"

#include <cstring>
#include <new>

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "kernel/memory.h"
#include "kernel/scheduler.h"
#include "kernel/stacks.h"
#include "kernel/task_list.h"

namespace graft::kernel {

namespace {

u8* make_fpu_state() {
    auto* state = static_cast<u8*>(heap_allocate(arch::kFpuStateSize, 64));
    if (state) arch::init_fpu_state(state);
    return state;
}

u64 running_processors() {
    u32 count = processor_count();
    return count >= 64 ? kEveryProcessor : (u64{1} << count) - 1;
}

Result<void, TaskFailure> check(const TaskOptions& options) {
    if (options.priority >= kPriorityCount) return fail(TaskFailure::bad_priority);
    if (options.stack_size < kSmallestStackSize || options.stack_size > kLargestStackSize) {
        return fail(TaskFailure::bad_stack);
    }
    if ((options.processors & running_processors()) == 0) return fail(TaskFailure::no_processor);
    return {};
}

void destroy(Task& task) {
    heap_release(task.context.fpu);
    task.~Task();
    heap_release(&task);
}

void set_name(Task& task, std::string_view name) {
    usize length = name.size() < kTaskNameCapacity ? name.size() : kTaskNameCapacity;
    std::memcpy(task.name.data(), name.data(), length);
    task.name_length = static_cast<u8>(length);
}

// A task that is complete but in no list.
Result<Task*, TaskFailure> make_task(TaskFunction function, void* argument, const TaskOptions& options) {
    void* memory = heap_allocate(sizeof(Task), alignof(Task));
    if (!memory) return fail(TaskFailure::no_memory);
    auto* task = new (memory) Task;
    task->function = function;
    task->argument = argument;
    task->processors = options.processors;
    task->priority = options.priority;
    task->is_needed = options.is_needed;
    task->is_own = options.is_own;
    task->repeats = options.repeats;
    set_name(*task, options.name);
    if (options.uses_sse) {
        task->context.fpu = make_fpu_state();
        if (!task->context.fpu) {
            destroy(*task);
            return fail(TaskFailure::no_memory);
        }
    }
    auto stack = allocate_stack(options.stack_size);
    if (!stack) {
        destroy(*task);
        return fail(TaskFailure::no_memory);
    }
    task->stack = *stack;
    task->stopped_since_ns = arch::now_ns();
    arch::prepare_context(task->context, stack->end, task);
    return task;
}

}  // namespace

std::string_view name_of(TaskState state) {
    switch (state) {
        case TaskState::blocked:
            return "blocked";
        case TaskState::waking:
            return "waking";
        case TaskState::ready:
            return "ready";
        case TaskState::running:
            return "running";
        case TaskState::exited:
            return "exited";
    }
    return "unknown";
}

Result<TaskHandle, TaskFailure> create_task(TaskFunction function, void* argument, const TaskOptions& options) {
    GRAFT_CHECK(check(options));
    Task* task = GRAFT_TRY(make_task(function, argument, options));
    {
        arch::InterruptsOff off;
        task->processor.store(&this_processor(), std::memory_order_relaxed);  // published by the list's lock
    }
    task->references.fetch_add(1, std::memory_order_relaxed);  // the handle's; nobody else knows the task yet
    publish_task(*task);
    start_task(*task);
    return TaskHandle(task);
}

Task* make_idle_task(Processor& processor, TaskFunction round) {
    TaskOptions options;
    options.name = "idle";
    options.priority = kLowestPriority;
    options.processors = u64{1} << processor.index;
    options.uses_sse = false;
    options.is_needed = true;
    options.repeats = true;
    auto task = make_task(round, nullptr, options);
    if (!task) return nullptr;
    (*task)->is_idle = true;
    (*task)->processor.store(&processor, std::memory_order_relaxed);  // published by the list's lock
    publish_task(**task);
    return *task;
}

TaskHandle& TaskHandle::operator=(TaskHandle&& other) noexcept {
    if (this == &other) return *this;
    detach();
    task_ = std::exchange(other.task_, nullptr);
    return *this;
}

TaskEnd TaskHandle::join() {
    GRAFT_ASSERT(task_);
    Anchor anchor;  // the task that is waited for knows who waits
    Task& task = *task_;
    SpinGuard<IrqSave> guard(task.exit_lock);
    GRAFT_ASSERT(!task.joiner);
    task.joiner = &current_task();
    while (!task.finished) {
        guard.release();
        park();
        guard.acquire();
    }
    task.joiner = nullptr;
    return task.end;
}

void TaskHandle::detach() {
    if (Task* task = std::exchange(task_, nullptr)) release_task(*task);
}

void release_task(Task& task) {
    // Release orders what was done with the task before its end; acquire pairs with it in the last one to let go.
    if (task.references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(task);
}

bool interrupt_task(u64 id) {
    TaskRef task = find_task(id);
    if (!task) return false;
    task->interrupt_pending.store(true, std::memory_order_release);  // pairs with take_interruption()
    unpark(*task);
    return true;
}

}  // namespace graft::kernel
