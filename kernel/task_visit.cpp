#include "kernel/task_visit.h"

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/sync.h"
#include "kernel/dead_stack.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/patch_moves.h"
#include "kernel/scheduler.h"

namespace graft::kernel {

namespace {

constinit Mutex visit_mutex;
// Set before a task is marked (visit_pending, under its queue's lock, which orders it) and reset when none is marked.
constinit TaskVisitor* visiting = nullptr;
// Tasks marked and not yet visited. Release in done() pairs with acquire in wait_for_marked().
constinit std::atomic<u64> marked{0};

void done(Task& task) {
    task.visit_pending = false;
    marked.fetch_sub(1, std::memory_order_release);
}

// Visits the task, or marks it and returns the processor that must be interrupted.
Processor* visit_or_mark(Task& task, TaskVisitor& visitor) {
    TaskQueueGuard guard(task);
    if (!guard.is_running()) {
        visitor.visit(task, nullptr);
        return nullptr;
    }
    task.visit_pending = true;
    marked.fetch_add(1, std::memory_order_relaxed);  // the queue's lock orders it before done()
    return &guard.processor();
}

void interrupt_processors(u64 processors) {
    for (u32 i = 0; i < processor_count(); ++i) {
        if ((processors >> i & 1) != 0) arch::send_interrupt(i, arch::kVectorCheck);
    }
}

// A running task's processor answers when it has interrupts on; one that doesn't is named and waited for on.
void wait_for_marked() {
    u64 report_at = arch::now_ns() + arch::kSilenceBoundNs;
    while (marked.load(std::memory_order_acquire) != 0) {
        arch::pause();
        if (arch::now_ns() < report_at) continue;
        log(LogLevel::warning, "a processor doesn't answer the check of its task");
        report_at = arch::now_ns() + arch::kSilenceBoundNs;
    }
}

u64 bit_of(const Processor* processor) {
    return processor ? u64{1} << processor->index : 0;
}

}  // namespace

void visit_all_tasks(TaskVisitor& visitor) {
    {
        MutexGuard guard(visit_mutex);
        visiting = &visitor;
        u64 processors = 0;
        u64 newest = newest_task_id();
        for (TaskRef task = next_task({}); task && task->id <= newest; task = next_task(std::move(task))) {
            processors |= bit_of(visit_or_mark(*task, visitor));
        }
        interrupt_processors(processors);
        wait_for_marked();
    }
    report_moves();
}

bool visit_task(u64 id, TaskVisitor& visitor) {
    TaskRef task = find_task(id);
    if (!task) return false;
    {
        MutexGuard guard(visit_mutex);
        visiting = &visitor;
        interrupt_processors(bit_of(visit_or_mark(*task, visitor)));
        wait_for_marked();
    }
    report_moves();
    return true;
}

void visit_stopped_task(Task& task) {
    if (task.visit_pending) {
        visiting->visit(task, nullptr);
        done(task);
    }
    if (task.examine_at_stop) examine_stopped_task(task);
    clear_dead_stack(kUsedByExamination);
}

u32 visit_interrupted_task(arch::InterruptFrame* frame) {
    Processor& self = this_processor();
    SpinGuard<IrqsAlreadyOff> guard(self.queue_lock);
    Task& task = *self.current;
    if (!task.visit_pending && !task.examine_at_stop) return 0;
    u32 verdict = 0;
    if (task.visit_pending) {
        verdict = visiting->visit(task, frame);
        done(task);
    }
    if (task.examine_at_stop) verdict |= examine_task(task, frame);
    clear_dead_stack(kUsedByExamination);
    return verdict;
}

}  // namespace graft::kernel
