// Task: a thread of control with a stack of its own, and the calls by which code makes, ends and waits for tasks.
//
// States, and who changes them (always under the lock of the run queue that the task belongs to):
//
//   blocked   not on a processor, not ready. New tasks begin here.     create_task(), park()
//   waking    on its way from one processor's run queue to another's   unpark()
//   ready     in a run queue                                           unpark(), preemption, yield()
//   running   the `current` of its processor                           the context switch
//   exited    will never run again                                     exit_task()
//
//   blocked → waking → ready → running → ready | blocked | exited
//
// `processor` says whose run queue the task belongs to. It changes only while the task is not running, under the lock
// of the old one: so "lock its queue, look again, is it still that queue" (TaskQueueGuard) gives a task that can't
// begin to run. Everything that examines tasks relies on that.
//
// A task that parks has a token: unpark() of a task that isn't parked leaves one behind, and the next park() returns at
// once. So whoever parks looks again at what it waits for.
#pragma once

#include <array>
#include <atomic>
#include <string_view>
#include <utility>

#include "arch/x86_64/context.h"
#include "arch/x86_64/percpu.h"
#include "base/intrusive_list.h"
#include "base/result.h"
#include "base/types.h"
#include "kernel/flight_recorder.h"
#include "kernel/lock.h"

namespace graft::kernel {

class Processor;

inline constexpr u8 kPriorityCount = 32;
inline constexpr u8 kLowestPriority = 0;
inline constexpr u8 kDefaultPriority = 16;
inline constexpr u8 kHighestPriority = 31;
// The kernel's own tasks.
inline constexpr u8 kTimerPriority = 30;
inline constexpr u8 kPatchPriority = 28;
inline constexpr u8 kServicePriority = 24;

inline constexpr usize kDefaultStackSize = 16 * 1024;
inline constexpr usize kSmallestStackSize = 4 * 1024;
inline constexpr usize kLargestStackSize = 1024 * 1024;
inline constexpr usize kTaskNameCapacity = 32;
inline constexpr u64 kEveryProcessor = ~u64{0};

enum class TaskState : u8 { blocked, waking, ready, running, exited };
std::string_view name_of(TaskState state);

using TaskFunction = void (*)(void* argument);

enum class TaskEnd : u8 {
    returned,  // from its function, or by exit_task()
    faulted,   // it was stopped in the middle (kernel/fault.h)
};

// Whether a task waits so that a nudge (kernel/nudge.h) may end it.
enum class WaitState : u8 {
    uninterruptible,  // or not at all
    interruptible,    // set by the task
    nudged,           // set by others, from `interruptible` only; the task takes it back when the wait is over
};

struct TaskOptions {
    std::string_view name = "task";        // cut at kTaskNameCapacity
    u8 priority = kDefaultPriority;        // 0 … 31, larger is more urgent
    u64 processors = kEveryProcessor;      // a bit for each processor that may run it
    usize stack_size = kDefaultStackSize;  // rounded up to pages
    bool uses_sse = true;                  // false only for code compiled for general registers
    bool is_needed = false;                // the kernel can't do without it: a fault in it is fatal (kernel/fault.h)
    bool is_own = false;                   // of Graft itself: in no canary's share
    // The function is called again whenever it returns, for ever. So a service is a round, which can be patched like
    // any function, rather than a loop, which never returns and would hold its transition.
    bool repeats = false;
};

// What a transition knows of a task that holds it. Lock: the task's run queue.
struct Holding {
    VirtAddr pc;    // in the outermost changing frame
    VirtAddr slot;  // of its return address
    u64 since_ns = 0;
    bool unreliable = false;
};

struct Task {
    arch::Context context;  // first: PerCpu::context is the running task

    // ---- constant after creation
    u64 id = 0;
    TaskFunction function = nullptr;
    void* argument = nullptr;
    AddressRange stack;
    u64 processors = kEveryProcessor;
    u8 priority = kDefaultPriority;
    bool is_idle = false;
    bool is_needed = false;
    bool is_own = false;
    bool repeats = false;
    std::array<char, kTaskNameCapacity> name{};
    u8 name_length = 0;

    // ---- whose run queue's lock guards the next group; written under the old one's
    std::atomic<Processor*> processor{nullptr};

    // ---- lock: run queue
    TaskState state = TaskState::blocked;
    bool wake_token = false;
    bool visit_pending = false;    // a visit (task_visit.h) waits for this task to stop or be interrupted
    bool examine_at_stop = false;  // its stack was unreliable: to be examined when it next stops running
    bool handed_to_reaper = false;
    bool preempted = false;  // it stopped in an interrupt, whose frame is on its stack; else in a call of its own
    ListHook run_hook;
    Holding holding;
    u64 slice_left_ns = 0;  // of the slice in which a more urgent task took its place; 0: a whole one
    u64 switches = 0;
    u64 ran_ns = 0;
    u64 running_since_ns = 0;
    u64 stopped_since_ns = 0;

    // ---- written by whoever moves the task, read by anybody
    FlightRecorder moves;

    // ---- lock: task list
    ListHook all_hook;
    bool counted = false;
    // Belongs to the share of the canary that runs (kernel/canary.h). Written before moves are allowed or, for a
    // newborn, before anybody can find it.
    bool is_chosen = false;

    // ---- its own: nobody else reads or writes it
    u32 held_mutexes = 0;
    u32 anchors = 0;           // see Anchor
    bool is_stopping = false;  // it has faulted and goes on no more

    // ---- its own lock
    SpinLock exit_lock{LockRank::wait};
    bool finished = false;  // exited and off the list
    TaskEnd end = TaskEnd::returned;
    Task* joiner = nullptr;  // parked in join()
    Task* next_to_reap = nullptr;

    std::atomic<u32> references{0};
    std::atomic<bool> interrupt_pending{false};
    std::atomic<WaitState> wait_state{WaitState::uninterruptible};

    std::string_view name_view() const { return {name.data(), name_length}; }
};

enum class TaskFailure : u8 {
    no_memory,     // for the task, its stack or its SSE state
    bad_priority,  // not below kPriorityCount
    bad_stack,     // smaller than kSmallestStackSize or larger than kLargestStackSize
    no_processor,  // none of the allowed processors runs
};

// The right to wait for a task's end. Dropping it lets the task go on alone.
class TaskHandle {
public:
    TaskHandle() = default;
    explicit TaskHandle(Task* task) : task_(task) {}
    TaskHandle(TaskHandle&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
    TaskHandle& operator=(TaskHandle&& other) noexcept;
    ~TaskHandle() { detach(); }

    explicit operator bool() const { return task_ != nullptr; }
    u64 id() const { return task_->id; }
    // Valid as long as the handle is.
    Task& task() const { return *task_; }

    // Returns when the task has ended and its stack is released, and says how it ended. Once. Context: task; sleeps.
    TaskEnd join();
    // Context: any that may release memory.
    void detach();

private:
    Task* task_ = nullptr;
};

// The task inherits its creator's patch state. Context: task or boot, no spinlock held.
[[nodiscard]] Result<TaskHandle, TaskFailure> create_task(TaskFunction function, void* argument,
                                                          const TaskOptions& options);

// The running task. Context: a task (not the boot flow before enter_scheduler()).
inline Task& current_task() {
    Task* task;
    asm volatile("movq %%gs:%c1, %0" : "=r"(task) : "i"(arch::kPerCpuContext));
    return *task;
}

// While one exists, something of the kernel's refers to the running task or to its stack (an entry of a wait queue, a
// deadline), and must be taken back by the task itself: it can't be ended by somebody else.
class Anchor {
public:
    Anchor() : task_(current_task()) { ++task_.anchors; }
    ~Anchor() { --task_.anchors; }
    Anchor(const Anchor&) = delete;
    Anchor& operator=(const Anchor&) = delete;

private:
    Task& task_;
};

// Ends the running task. Context: task, no lock held.
[[noreturn]] void exit_task();
// The running task begins anew, with its function and its argument, on its own stack: what is on that is gone.
// Context: as exit_task().
[[noreturn]] void restart_task();

// Gives the processor to another ready task of the same or a higher priority, if there is one. Context: task.
void yield();

// Sleeps until unpark(), or returns at once when a token is there. May return for no reason. Context: task; sleeps.
void park();
// Wakes a parked task or leaves a token. The caller holds something that keeps the task alive: a lock that the task
// takes before it goes on, or a reference. Context: any, interrupts on or off; no lock of rank run_queue or above.
void unpark(Task& task);

// Makes an interruptible wait of this task, the running or the next one, return `interrupted`.
// False when there is no such task. Context: task or interrupt.
bool interrupt_task(u64 id);

}  // namespace graft::kernel
