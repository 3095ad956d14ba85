#include "kernel/fault.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/pure/unwind.h"
#include "arch/x86_64/upcalls.h"
#include "kernel/code_map.h"
#include "kernel/measuring.h"
#include "kernel/patch_callbacks.h"
#include "kernel/patch_worker.h"
#include "kernel/processor.h"
#include "kernel/task_list.h"
#include "kernel/task_walk.h"
#include "kernel/timers.h"
#include "kernel/work.h"

namespace graft::kernel {

namespace {

// The stopped tasks that nobody has taken yet, the newest first. Release in stop() pairs with acquire in
// report_stopped_tasks().
constinit std::atomic<StoppedTask*> stopped_tasks{nullptr};

constexpr usize kLongestCall = 7;  // bytes [intel/vol2 CALL]
constexpr u64 kWrite = 1u << 1;    // of a page fault's error code [intel/vol3 §4.7]
constexpr u64 kFetch = 1u << 4;

// A call through a null or wild pointer: the processor is where no code is, and the call it came from is the fault.
// Then the frame of that call as it is after the return; else the frame itself. Whether there was a call is read off
// the code before the return address, and the walk must be reliable from there.
arch::InterruptFrame at_the_fault(const Task& task, const arch::InterruptFrame& frame) {
    bool is_fetch = frame.vector == arch::kVectorPageFault && (frame.error_code & kFetch) != 0;
    VirtAddr slot(frame.rsp);
    bool has_caller = slot.is_aligned(sizeof(u64)) && task.stack.contains(slot);
    if (!is_fetch || !has_caller || code_map().is_text(VirtAddr(frame.rip))) return frame;
    arch::InterruptFrame caller = frame;
    caller.rip = *slot.as<const u64>();
    caller.rsp += sizeof(u64);
    bool follows_call = arch::ends_with_call(code_map().text_before(VirtAddr(caller.rip), kLongestCall));
    return follows_call ? caller : frame;
}

// What the stack says about whose fault it is.
struct Blame {
    VirtAddr in_patch;  // null: nobody's
    bool reliable = false;
    std::string_view why;  // it isn't
};

// `counts`: whether code at a pc is to blame.
Blame find_blame(const Task& task, const arch::InterruptFrame& frame, bool (*counts)(VirtAddr pc)) {
    Blame blame;
    auto look_at = [&](VirtAddr pc) {
        if (!blame.in_patch && counts(pc)) blame.in_patch = pc;
    };
    look_at(VirtAddr(frame.rip));  // also where the walk gets nowhere
    TaskWalk walk(task, &frame);
    arch::Frame found;
    while (walk.next(found)) look_at(found.lookup_pc);
    blame.reliable = walk.complete();
    blame.why = arch::name_of(walk.why());
    return blame;
}

Blame find_blame(const Task& task, const arch::InterruptFrame& frame) {
    return find_blame(task, frame, runs_a_callback(task) ? is_patch_code : is_watched_code);
}

// Of a task that is being stopped: the patch may have ceased to be watched a moment ago.
VirtAddr blamed_code(const Task& task, const arch::InterruptFrame& frame) {
    Blame blame = find_blame(task, frame);
    return blame.in_patch ? blame.in_patch : find_blame(task, frame, is_patch_code).in_patch;
}

void append_held_mutexes(TextBuffer& out, const Task& task) {
    out.append("the task holds ", task.held_mutexes, task.held_mutexes == 1 ? " mutex" : " mutexes");
}

// Appends why the fault can't be contained; nothing when it can. Context: the exception's handler.
bool append_obstacle(TextBuffer& out, const Task& task, const arch::InterruptFrame& frame, bool in_handler,
                     const Blame& blame) {
    if (in_handler) {
        out.append("it is in an interrupt handler");
    } else if (!this_processor().held_locks.empty()) {
        out.append("a spinlock is held");
    } else if ((frame.rflags & arch::kFlagInterrupt) == 0) {
        out.append("interrupts are off");
    } else if (!blame.reliable) {
        out.append("the stack isn't reliable (", blame.why, ")");
    } else if (task.is_stopping) {
        out.append("the task is being stopped for an earlier fault");
    } else if (task.is_needed && !runs_a_callback(task)) {
        out.append("the kernel needs the task ", task.name_view());
    } else if (task.held_mutexes != 0) {
        append_held_mutexes(out, task);
    } else if (task.anchors != 0) {
        out.append("the task is entered in ", task.anchors, " of the kernel's lists");
    } else if (has_timer_within(task.stack)) {
        out.append("a timer that is set lies on the task's stack");
    } else if (has_work_within(task.stack)) {
        out.append("work that is queued lies on the task's stack");
    } else {
        return false;
    }
    return true;
}

bool judge(Task& task, const arch::InterruptFrame& frame, bool in_handler, TextBuffer& reason) {
    Blame blame = find_blame(task, at_the_fault(task, frame));
    if (!blame.in_patch) return false;
    Text<200> obstacle;
    if (append_obstacle(obstacle, task, frame, in_handler, blame)) {
        reason.append(": in patch ", name_of_code(blame.in_patch).patch, ", not contained: ", obstacle.view());
        return false;
    }
    task.is_stopping = true;
    note_measured_fault(task);
    return true;
}

// The worker takes what is there in one go, so a node is never seen twice.
void hand_to_worker(StoppedTask& stopped) {
    stopped.next = stopped_tasks.load(std::memory_order_relaxed);
    while (!stopped_tasks.compare_exchange_weak(stopped.next, &stopped, std::memory_order_release,
                                                std::memory_order_relaxed)) {
    }
    wake_patch_worker();
}

StoppedTask* take_in_order() {
    StoppedTask* newest = stopped_tasks.exchange(nullptr, std::memory_order_acquire);
    StoppedTask* first = nullptr;
    while (newest) {
        StoppedTask* next = newest->next;
        newest->next = first;
        first = newest;
        newest = next;
    }
    return first;
}

void wait_until_told(const StoppedTask& stopped) {
    while (!stopped.is_told.load(std::memory_order_acquire)) park();  // pairs with report_stopped_tasks()
}

}  // namespace

std::string_view name_of_exception(u64 vector) {
    const char* name = arch::exception_name(vector);
    return name ? name : "exception";
}

bool contain_fault(const arch::InterruptFrame& frame, bool in_handler, TextBuffer& reason) {
    Processor* self = this_processor_or_null();
    if (!self || !self->current || self->judges_fault) return false;
    self->judges_fault = true;
    bool is_contained = judge(*self->current, frame, in_handler, reason);
    self->judges_fault = false;
    return is_contained;
}

void report_stopped_tasks(StoppedTaskSink sink) {
    for (StoppedTask* stopped = take_in_order(); stopped;) {
        // From the moment at which it is told of, it may end, and with it what lies on its stack.
        StoppedTask* next = stopped->next;
        TaskRef task(stopped->task);
        sink(*stopped);
        stopped->is_told.store(true, std::memory_order_release);
        unpark(*task);
        stopped = next;
    }
}

void append_fault(TextBuffer& out, const StoppedTask& stopped) {
    const arch::InterruptFrame& frame = stopped.frame;
    out.append(name_of_exception(frame.vector));
    if (frame.vector != arch::kVectorPageFault) return;
    bool is_fetch = (frame.error_code & kFetch) != 0;
    bool is_write = (frame.error_code & kWrite) != 0;
    out.append(is_fetch ? ", jump to " : is_write ? ", write to " : ", read of ", hex(stopped.fault_address));
}

}  // namespace graft::kernel

extern "C" void graft_upcall_stop_task(graft::arch::InterruptFrame* frame) {
    using namespace graft::kernel;
    Task& task = current_task();
    // It is never gone back to: so the walks of this stack begin where the fault is.
    *frame = at_the_fault(task, *frame);
    StoppedTask stopped{.task = task, .frame = *frame, .fault_address = graft::arch::read_cr2(), .in_patch = {}};
    stopped.in_patch = blamed_code(task, *frame);
    hand_to_worker(stopped);
    graft::arch::enable_interrupts();
    wait_until_told(stopped);
    if (runs_a_callback(task)) end_faulted_callback();
    task.end = TaskEnd::faulted;
    exit_task();
}
