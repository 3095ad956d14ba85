#include "kernel/timers.h"

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "base/intrusive_list.h"
#include "kernel/processor.h"
#include "kernel/scheduler.h"
#include "kernel/task_list.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

// Two queues, since one kind is served under the lock and the other is not: a sleeper's entry lies on its stack and
// must be done with when the lock is released.
struct TimerService {
    struct Canceller {
        Timer& timer;
        Task& task;
        ListHook hook;
    };

    SpinLock lock{LockRank::timers};
    TimerQueue callbacks;                                   // lock
    TimerQueue sleepers;                                    // lock
    Timer* running = nullptr;                               // lock; whose callback runs
    Task* runner = nullptr;                                 // constant after start_timer_task()
    IntrusiveList<Canceller, &Canceller::hook> cancellers;  // lock; parked until `running` is done

    static Timer& timer_of(TimerEntry& entry) { return static_cast<Timer&>(entry); }
    static Task& sleeper_of(TimerEntry& entry) { return static_cast<WakeUp&>(entry).task_; }

    u64 earliest() const {
        u64 first = callbacks.empty() ? kNever : callbacks.earliest()->deadline_ns();
        u64 second = sleepers.empty() ? kNever : sleepers.earliest()->deadline_ns();
        return first < second ? first : second;
    }

    // Lock held; whoever adds the earliest deadline has its own processor watch it.
    void insert(TimerQueue& queue, TimerEntry& entry, u64 deadline_ns) {
        bool is_first = deadline_ns < earliest();
        queue.insert(entry, deadline_ns);
        if (is_first) watch_deadline(deadline_ns);
    }

    void wake_sleepers(u64 now) {
        SpinGuard<IrqSave> guard(lock);
        // A bound on what happens with interrupts off: the rest comes with the next round.
        for (u32 i = 0; i < 64 && !sleepers.empty() && sleepers.earliest()->deadline_ns() <= now; ++i) {
            TimerEntry& entry = *sleepers.earliest();
            sleepers.remove(entry);
            unpark(sleeper_of(entry));
        }
    }

    Timer* take_expired(u64 now) {
        SpinGuard<IrqSave> guard(lock);
        if (callbacks.empty() || callbacks.earliest()->deadline_ns() > now) return nullptr;
        running = &timer_of(*callbacks.earliest());
        callbacks.remove(*running);
        return running;
    }

    void finish_running() {
        SpinGuard<IrqSave> guard(lock);
        Timer* finished = running;
        running = nullptr;
        for (Canceller& canceller : cancellers) {
            if (&canceller.timer != finished) continue;  // on its way out already; `finished` may be gone
            // Who cancels it means what its callback has set, too.
            if (finished->is_queued()) callbacks.remove(*finished);
            unpark(canceller.task);
        }
    }

    // True when something is due right now.
    bool watch_next() {
        SpinGuard<IrqSave> guard(lock);
        u64 next = earliest();
        if (next <= arch::now_ns()) return true;
        if (next != kNever) watch_deadline(next);
        return false;
    }

    static void call(const Timer& timer) { timer.callback_(timer.argument_); }
};

namespace {

constinit TimerService service;

void timer_round(void*) {
    u64 now = arch::now_ns();
    service.wake_sleepers(now);
    if (Timer* timer = service.take_expired(now)) {
        TimerService::call(*timer);
        service.finish_running();
    }
    if (service.watch_next()) return;
    park();
}

}  // namespace

void start_timer_task() {
    TaskOptions options;
    options.repeats = true;
    options.name = "timers";
    options.is_own = true;
    options.priority = kTimerPriority;
    options.is_needed = true;
    auto handle = create_task(timer_round, nullptr, options);
    GRAFT_ASSERT(handle);
    service.runner = find_task(handle->id()).operator->();
}

void wake_timer_task() {
    if (service.runner) unpark(*service.runner);
}

void Timer::set(u64 deadline_ns) {
    SpinGuard<IrqSave> guard(service.lock);
    if (is_queued()) service.callbacks.remove(*this);
    service.insert(service.callbacks, *this, deadline_ns);
}

bool Timer::cancel() {
    SpinGuard<IrqSave> guard(service.lock);
    bool was_pending = is_queued();
    if (was_pending) service.callbacks.remove(*this);
    if (service.running != this || &current_task() == service.runner) return was_pending;
    Anchor anchor;
    TimerService::Canceller canceller{*this, current_task(), {}};
    service.cancellers.push_back(canceller);
    while (service.running == this) {
        guard.release();
        park();
        guard.acquire();
    }
    service.cancellers.remove(canceller);
    return was_pending;
}

WakeUp::WakeUp(u64 deadline_ns) : task_(current_task()) {
    if (deadline_ns == kNever) return;
    SpinGuard<IrqSave> guard(service.lock);
    service.insert(service.sleepers, *this, deadline_ns);
}

WakeUp::~WakeUp() {
    SpinGuard<IrqSave> guard(service.lock);
    if (is_queued()) service.sleepers.remove(*this);
}

void sleep_until(u64 deadline_ns) {
    WakeUp alarm(deadline_ns);
    while (arch::now_ns() < deadline_ns) park();
}

void sleep_ns(u64 duration_ns) {
    sleep_until(arch::now_ns() + duration_ns);
}

bool sleep_interruptibly_ns(u64 duration_ns) {
    u64 deadline_ns = arch::now_ns() + duration_ns;
    WakeUp alarm(deadline_ns);
    InterruptibleWait interruption(Interruptible::yes);
    while (arch::now_ns() < deadline_ns) {
        if (interruption.take()) return false;
        park();
    }
    return true;
}

bool has_timer_within(AddressRange memory) {
    SpinGuard<IrqSave> guard(service.lock);
    return service.callbacks.has_entry_within(memory) || service.sleepers.has_entry_within(memory) ||
           memory.contains(VirtAddr(service.running));
}

usize pending_timers() {
    SpinGuard<IrqSave> guard(service.lock);
    return service.callbacks.size() + service.sleepers.size();
}

}  // namespace graft::kernel
