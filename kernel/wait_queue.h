// WaitQueue: the tasks that wait for something to come true. The something and the queue share one spinlock (rank wait
// or device) that the owner names:
//
//     SpinGuard<IrqSave> guard(lock_);
//     while (!ready_) waiters_.wait(guard);            // gives the lock up while it sleeps
//
//     SpinGuard<IrqSave> guard(lock_);
//     ready_ = true;
//     waiters_.wake_all();                             // under the lock: so a waiter can't vanish meanwhile
//
// Waits are woken in the order of their beginning. A wait may end for no reason: look again.
#pragma once

#include "base/intrusive_list.h"
#include "base/types.h"
#include "kernel/lock.h"
#include "kernel/processor.h"
#include "kernel/task.h"

namespace graft::kernel {

class Mutex;

enum class WaitResult : u8 {
    woken,
    timed_out,
    interrupted,  // interrupt_task() or a nudge named this task; only for waits that allow it
};

enum class Interruptible : bool { no, yes };

class WaitQueue {
public:
    constexpr WaitQueue() = default;

    // Gives up the guard's lock, sleeps until woken or `deadline_ns` (of arch::now_ns()), takes the lock again.
    // Context: task; the guard found interrupts on and is the only one held.
    // A mutex is given up once the wait has begun, and not taken again.
    WaitResult wait(SpinGuard<IrqSave>& guard, u64 deadline_ns = kNever,
                    Interruptible interruptible = Interruptible::no, Mutex* given_up = nullptr);

    // Lock: the owner's. Context: any.
    void wake_one();
    void wake_all();
    bool empty() { return waiters_.empty(); }

private:
    struct Waiter {
        Task* task = nullptr;
        bool woken = false;
        ListHook hook;
    };

    void wake(Waiter& waiter);

    IntrusiveList<Waiter, &Waiter::hook> waiters_;
};

// Whether somebody has interrupted the running task since it last asked; takes the interruption.
bool take_interruption();

// The running task may be nudged while this exists. Context: task.
class InterruptibleWait {
public:
    explicit InterruptibleWait(Interruptible interruptible);
    ~InterruptibleWait();
    InterruptibleWait(const InterruptibleWait&) = delete;
    InterruptibleWait& operator=(const InterruptibleWait&) = delete;

    // Whether the wait shall end; takes nothing.
    bool is_interrupted() const;
    // The same, and takes the interruption.
    bool take();

private:
    bool is_nudged() const;

    const bool interruptible_;
};

}  // namespace graft::kernel
