// Timers: callbacks at a time, and sleeping. Both are served by the timer task: the interrupt only wakes it, since what
// runs in an interrupt runs in the state of whatever task it hit.
//
// Times are nanoseconds of arch::now_ns(). A timer is never early; how late it is depends on the timer task's turn.
#pragma once

#include "base/types.h"
#include "kernel/pure/timer_queue.h"
#include "kernel/task.h"

namespace graft::kernel {

// Context: boot, after the memory is there.
void start_timer_task();

// Wakes the timer task. Context: any; no lock of rank run_queue or above.
void wake_timer_task();

// Calls a function in the timer task. The callback may set timers again and may sleep, but then it delays all others.
// The object must stay until the timer has fired or was cancelled.
class Timer : public TimerEntry {
public:
    using Callback = void (*)(void* argument);

    constexpr Timer(Callback callback, void* argument) : callback_(callback), argument_(argument) {}
    ~Timer() { cancel(); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    // Replaces what was set before. Context: any; no lock of rank timers or above.
    void set(u64 deadline_ns);
    // Afterwards the callback neither runs nor will, even if it sets the timer again (unless called from the callback
    // itself). Context: task, several at a time; sleeps while the callback runs. True when it was pending.
    bool cancel();

private:
    friend struct TimerService;

    const Callback callback_;
    void* const argument_;
};

// Unparks the task that makes it, at a time, while it exists; kNever sets nothing. Context: task.
class WakeUp : public TimerEntry {
public:
    explicit WakeUp(u64 deadline_ns);
    ~WakeUp();
    WakeUp(const WakeUp&) = delete;
    WakeUp& operator=(const WakeUp&) = delete;

private:
    friend struct TimerService;

    Anchor anchor_;
    Task& task_;
};

// Context: task; sleeps.
void sleep_until(u64 deadline_ns);
void sleep_ns(u64 duration_ns);
// False when interrupt_task() or a nudge ended it early.
bool sleep_interruptibly_ns(u64 duration_ns);

usize pending_timers();
// Whether a timer that is set, or whose callback runs, or a sleeper's entry lies in that memory. Looks at all of them.
// Context: any; no lock of rank timers or above.
bool has_timer_within(AddressRange memory);

}  // namespace graft::kernel
