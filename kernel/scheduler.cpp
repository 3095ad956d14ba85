#include "kernel/scheduler.h"

#include <bit>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/processors.h"
#include "base/assert.h"
#include "kernel/patch_moves.h"
#include "kernel/reaper.h"
#include "kernel/task_list.h"
#include "kernel/task_visit.h"
#include "kernel/timers.h"

namespace graft::kernel {

namespace {

// Constant-initialised, so that it can be used before any constructor has run.
constinit Processor processors[arch::kMaxProcessors]{};
// Release at adopt_processor() pairs with acquire in processor_count(): who sees the count sees the processor's fields.
constinit std::atomic<u32> adopted{0};

u64 bit_of(const Processor& processor) {
    return u64{1} << processor.index;
}

// An interrupt that is due earlier anyway sets the timer anew; so a storm of switches doesn't touch the hardware.
void set_timer_for(Processor& self, u64 now) {
    u64 next = self.slice_end_ns < self.wakeup_ns ? self.slice_end_ns : self.wakeup_ns;
    if (next >= self.timer_due_ns) return;
    self.timer_due_ns = next;
    arch::set_timer(next > now ? next - now : 1);
}

// ---- ready queues; lock: queue_lock ----

void update_load(Processor& processor) {
    u32 running = processor.current && processor.current != processor.idle ? 1 : 0;
    processor.load.store(processor.ready_count + running, std::memory_order_relaxed);  // a hint: guards nothing
}

void add_ready(Processor& processor, Task& task, bool in_front) {
    task.state = TaskState::ready;
    auto& list = processor.ready[task.priority];
    if (in_front) {
        list.push_front(task);
    } else {
        list.push_back(task);
    }
    processor.ready_mask |= u32{1} << task.priority;
    ++processor.ready_count;
    update_load(processor);
}

void remove_ready(Processor& processor, Task& task) {
    auto& list = processor.ready[task.priority];
    list.remove(task);
    if (list.empty()) processor.ready_mask &= ~(u32{1} << task.priority);
    --processor.ready_count;
    update_load(processor);
}

Task* most_urgent(Processor& processor) {
    if (processor.ready_mask == 0) return nullptr;
    auto priority = static_cast<usize>(std::bit_width(processor.ready_mask)) - 1;
    return processor.ready[priority].front();
}

// Whether a ready task should run rather than `current`; with `same_priority`, also one that is just as urgent.
bool is_outranked(Processor& processor, bool same_priority) {
    Task* candidate = most_urgent(processor);
    if (!candidate) return false;
    if (processor.current == processor.idle) return true;
    if (candidate->priority != processor.current->priority) return candidate->priority > processor.current->priority;
    return same_priority;
}

Task* allowed_task_of(Processor& victim, const Processor& thief) {
    for (u32 priority = kPriorityCount; priority-- > 0;) {
        for (Task& task : victim.ready[priority]) {
            if ((task.processors & bit_of(thief)) != 0) return &task;
        }
    }
    return nullptr;
}

// Takes a ready task from the first busy processor whose queue is free. Lock: own queue_lock; the other is only tried.
Task* take_from_others(Processor& self) {
    u32 count = processor_count();
    for (u32 i = 1; i < count; ++i) {
        Processor& victim = processors[(self.index + i) % count];
        if (victim.load.load(std::memory_order_relaxed) < 2) continue;
        if (!victim.queue_lock.try_acquire()) continue;
        Task* task = allowed_task_of(victim, self);
        if (task) {
            remove_ready(victim, *task);
            task->processor.store(&self, std::memory_order_release);  // pairs with TaskQueueGuard()
        }
        victim.queue_lock.release();
        if (!task) continue;
        ++self.statistics.stolen_tasks;
        return task;
    }
    return nullptr;
}

Task& take_next(Processor& self) {
    Task* next = most_urgent(self);
    if (next) {
        remove_ready(self, *next);
        return *next;
    }
    next = take_from_others(self);
    return next ? *next : *self.idle;
}

// ---- the switch ----

// What the task that goes on does for the one that stopped. Lock: queue_lock, released here.
void finish_switch() {
    Processor& self = this_processor();
    Task& previous = *self.previous;
    self.previous = nullptr;
    if (previous.visit_pending || previous.examine_at_stop) visit_stopped_task(previous);
    bool exited = previous.state == TaskState::exited && !previous.handed_to_reaper;
    if (exited) previous.handed_to_reaper = true;
    self.queue_lock.release();
    if (exited) hand_to_reaper(previous);
    report_moves();
}

void account_switch(Processor& self, Task& from, Task& to) {
    u64 now = arch::now_ns();
    from.ran_ns += now - from.running_since_ns;
    from.stopped_since_ns = now;
    to.running_since_ns = now;
    ++to.switches;
    ++self.statistics.switches;
    self.slice_over = false;
    u64 slice = to.slice_left_ns != 0 ? to.slice_left_ns : kSliceNs;
    self.slice_end_ns = &to == self.idle ? kNever : now + slice;
    set_timer_for(self, now);
}

// What a task kept while it didn't run.
void forget_stop(Task& task) {
    task.preempted = false;
    task.slice_left_ns = 0;
}

// Lock: queue_lock held, released when this returns. The running task has put itself where it belongs.
void switch_to(Processor& self, Task& next) {
    Task& from = *self.current;
    self.reschedule.store(false, std::memory_order_relaxed);  // ordered by the queue lock
    if (&next == &from) {
        from.state = TaskState::running;
        forget_stop(from);
        update_load(self);
        self.queue_lock.release();
        return;
    }
    account_switch(self, from, next);
    next.state = TaskState::running;
    forget_stop(next);
    self.current = &next;
    self.previous = &from;
    update_load(self);
    arch::graft_switch_context(&from.context, &next.context);
    finish_switch();
}

// ---- placing ----

// Notes that a processor should look at its queue and makes it do so. Lock: its queue_lock.
void request_reschedule(Processor& processor) {
    if (processor.reschedule.exchange(true, std::memory_order_relaxed)) return;  // ordered by the queue lock
    Processor& self = this_processor();
    if (&processor == &self && self.in_handler) return;  // this interrupt's exit looks
    arch::send_interrupt(processor.index, arch::kVectorReschedule);
}

Processor& choose_processor(const Task& task, Processor& last) {
    constexpr u32 kNotYet = 1u << 30;
    bool may_stay = (task.processors & bit_of(last)) != 0;
    if (may_stay && last.load.load(std::memory_order_relaxed) == 0) return last;
    Processor* best = may_stay ? &last : nullptr;
    u32 count = processor_count();
    for (u32 i = 0; i < count; ++i) {
        Processor& candidate = processors[i];
        if ((task.processors & bit_of(candidate)) == 0) continue;
        // One that doesn't run tasks yet is only chosen when no other is allowed: it will find the task when it does.
        u32 load = candidate.idle ? candidate.load.load(std::memory_order_relaxed) : kNotYet;
        if (load == 0) return candidate;
        // Moving a task costs something: only for a clear gain.
        u32 best_load = best ? best->load.load(std::memory_order_relaxed) : ~u32{0};
        if (!best || load + (best == &last ? 1 : 0) < best_load) best = &candidate;
    }
    GRAFT_ASSERT(best);
    return *best;
}

// Lock: the target's queue_lock.
void enqueue(Processor& target, Task& task) {
    add_ready(target, task, false);
    if (target.current && is_outranked(target, false)) request_reschedule(target);
}

// The task is `waking` and belongs to `target`: nobody else touches its state.
void enqueue_waking(Processor& target, Task& task) {
    SpinGuard<IrqsAlreadyOff> guard(target.queue_lock);
    enqueue(target, task);
}

// ---- idle ----

// One round of the idle task; an interrupt that makes a task ready switches at its exit.
void idle_round(void*) {
    arch::disable_interrupts();
    // Set by this processor, or about to be seen by the interrupt that goes with it.
    if (this_processor().reschedule.load(std::memory_order_relaxed)) {
        arch::enable_interrupts();
        yield();
        return;
    }
    arch::enable_interrupts_and_halt();
}

}  // namespace

u32 processor_count() {
    return adopted.load(std::memory_order_acquire);
}

Processor& processor(u32 index) {
    return processors[index];
}

void adopt_processor(arch::PerCpu& cpu) {
    Processor& self = processors[cpu.index];
    self.index = cpu.index;
    cpu.kernel = &self;
    GRAFT_ASSERT(adopted.load(std::memory_order_relaxed) == cpu.index);
    adopted.store(cpu.index + 1, std::memory_order_release);  // pairs with processor_count()
}

void enter_scheduler() {
    Processor& self = this_processor();
    self.idle = make_idle_task(self, idle_round);
    GRAFT_ASSERT(self.idle);
    self.queue_lock.acquire();
    self.current = self.idle;
    self.previous = self.idle;
    self.idle->state = TaskState::running;
    self.idle->running_since_ns = arch::now_ns();
    self.reschedule.store(true, std::memory_order_relaxed);  // tasks that were made ready before there was an idle task
    arch::graft_switch_context(&self.boot_context, &self.idle->context);
    __builtin_unreachable();
}

void start_task(Task& task) {
    arch::InterruptsOff off;
    Processor* last = nullptr;
    {
        TaskQueueGuard guard(task);
        GRAFT_ASSERT(task.state == TaskState::blocked);
        last = &guard.processor();
        task.state = TaskState::waking;
        move_new_task(task);
    }
    Processor& target = choose_processor(task, *last);
    task.processor.store(&target, std::memory_order_release);  // pairs with TaskQueueGuard()
    enqueue_waking(target, task);
    report_moves();
}

void unpark(Task& task) {
    arch::InterruptsOff off;
    Processor* last = nullptr;
    {
        TaskQueueGuard guard(task);
        if (task.state != TaskState::blocked) {
            if (task.state != TaskState::exited) task.wake_token = true;
            return;
        }
        last = &guard.processor();
        Processor& target = choose_processor(task, *last);
        if (&target == last) {
            enqueue(target, task);
            return;
        }
        task.state = TaskState::waking;
        task.processor.store(&target, std::memory_order_release);  // pairs with TaskQueueGuard()
        last = &target;
    }
    enqueue_waking(*last, task);
}

void park() {
    assert_may_sleep();
    arch::InterruptsOff off;
    Processor& self = this_processor();
    self.queue_lock.acquire();
    Task& task = *self.current;
    if (task.wake_token) {
        task.wake_token = false;
        self.queue_lock.release();
        return;
    }
    task.state = TaskState::blocked;
    switch_to(self, take_next(self));
}

void yield() {
    arch::InterruptsOff off;
    Processor& self = this_processor();
    self.queue_lock.acquire();
    Task& task = *self.current;
    if (&task != self.idle) add_ready(self, task, false);
    switch_to(self, take_next(self));
}

void exit_task() {
    arch::disable_interrupts();
    Processor& self = this_processor();
    self.queue_lock.acquire();
    self.current->state = TaskState::exited;
    // Nothing may follow the record any more: the stack goes to somebody else. And who ends inside what changes holds
    // nothing: a word into a patch that stayed in the task would keep that one from being freed.
    self.current->context.hook = {};
    self.current->holding = {};
    switch_to(self, take_next(self));
    __builtin_unreachable();
}

void restart_task() {
    arch::disable_interrupts();
    Processor& self = this_processor();
    self.queue_lock.acquire();
    Task& task = *self.current;
    arch::prepare_context(task.context, task.stack.end, &task);
    // Nothing is left to be done for whom this comes from: it is the task itself, which is running.
    self.previous = self.idle;
    arch::graft_switch_context(&self.boot_context, &task.context);
    __builtin_unreachable();
}

bool should_preempt() {
    return this_processor().reschedule.load(std::memory_order_relaxed);  // interrupts off, set under the queue lock
}

void scheduler_tick() {
    Processor& self = this_processor();
    u64 now = arch::now_ns();
    self.timer_due_ns = kNever;
    if (self.wakeup_ns <= now) {
        self.wakeup_ns = kNever;
        wake_timer_task();
    }
    if (self.slice_end_ns <= now) {
        SpinGuard<IrqsAlreadyOff> guard(self.queue_lock);
        self.slice_end_ns = self.current == self.idle ? kNever : now + kSliceNs;
        if (is_outranked(self, true)) {
            self.slice_over = true;
            request_reschedule(self);
        }
    }
    set_timer_for(self, now);
}

void watch_deadline(u64 deadline_ns) {
    Processor& self = this_processor();
    if (deadline_ns >= self.wakeup_ns) return;
    self.wakeup_ns = deadline_ns;
    set_timer_for(self, arch::now_ns());
}

TaskQueueGuard::TaskQueueGuard(Task& task) : task_(task) {
    for (;;) {
        processor_ = task.processor.load(std::memory_order_acquire);  // pairs with the stores of Task::processor above
        processor_->queue_lock.acquire();
        if (task.processor.load(std::memory_order_relaxed) == processor_) return;
        processor_->queue_lock.release();
    }
}

TaskQueueGuard::~TaskQueueGuard() {
    processor_->queue_lock.release();
}

}  // namespace graft::kernel

// ---- what permanent code calls ----

extern "C" void graft_upcall_preempt() {
    using namespace graft::kernel;
    Processor& self = this_processor();
    self.queue_lock.acquire();
    Task& task = *self.current;
    ++self.statistics.preemptions;
    // A task that was outranked keeps its turn and the rest of its slice; one whose slice is over goes to the end.
    graft::u64 now = graft::arch::now_ns();
    bool outranked = !self.slice_over && self.slice_end_ns > now;
    task.preempted = true;
    task.slice_left_ns = outranked ? self.slice_end_ns - now : 0;
    if (&task != self.idle) add_ready(self, task, outranked);
    switch_to(self, take_next(self));
}

extern "C" void graft_upcall_task_start(void* argument) {
    using namespace graft::kernel;
    finish_switch();
    graft::arch::enable_interrupts();
    auto& task = *static_cast<Task*>(argument);
    do {
        task.function(task.argument);
    } while (task.repeats);
    exit_task();
}
