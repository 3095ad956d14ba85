#include "kernel/wait_queue.h"

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "kernel/mutex.h"
#include "kernel/timers.h"

namespace graft::kernel {

WaitResult WaitQueue::wait(SpinGuard<IrqSave>& guard, u64 deadline_ns, Interruptible interruptible, Mutex* given_up) {
    GRAFT_ASSERT(guard.will_enable_interrupts());
    Anchor anchor;
    Waiter waiter;
    waiter.task = &current_task();
    waiters_.push_back(waiter);
    WaitResult result = WaitResult::woken;
    guard.release();
    if (given_up) given_up->unlock();
    {
        WakeUp alarm(deadline_ns);
        InterruptibleWait interruption(interruptible);
        for (;;) {
            // An interruption's token may have ended another wait, one that can't be interrupted.
            if (!interruption.is_interrupted()) park();
            guard.acquire();
            if (waiter.woken) break;
            if (interruption.take()) {
                result = WaitResult::interrupted;
                break;
            }
            if (arch::now_ns() >= deadline_ns) {
                result = WaitResult::timed_out;
                break;
            }
            guard.release();
        }
        if (!waiter.woken) waiters_.remove(waiter);
        guard.release();
    }
    guard.acquire();
    return result;
}

void WaitQueue::wake_one() {
    if (Waiter* waiter = waiters_.pop_front()) wake(*waiter);
}

void WaitQueue::wake_all() {
    while (Waiter* waiter = waiters_.pop_front()) wake(*waiter);
}

void WaitQueue::wake(Waiter& waiter) {
    waiter.woken = true;
    unpark(*waiter.task);
}

bool take_interruption() {
    return current_task().interrupt_pending.exchange(false, std::memory_order_acquire);  // pairs with interrupt_task()
}

InterruptibleWait::InterruptibleWait(Interruptible interruptible)
    : interruptible_(interruptible == Interruptible::yes) {
    if (interruptible_) current_task().wait_state.store(WaitState::interruptible, std::memory_order_relaxed);
}

InterruptibleWait::~InterruptibleWait() {
    if (interruptible_) current_task().wait_state.store(WaitState::uninterruptible, std::memory_order_relaxed);
}

bool InterruptibleWait::is_nudged() const {
    return current_task().wait_state.load(std::memory_order_acquire) ==
           WaitState::nudged;  // pairs with kernel/nudge.cpp
}

bool InterruptibleWait::is_interrupted() const {
    // Acquire pairs with interrupt_task().
    return interruptible_ && (is_nudged() || current_task().interrupt_pending.load(std::memory_order_acquire));
}

bool InterruptibleWait::take() {
    return interruptible_ && (is_nudged() || take_interruption());
}

}  // namespace graft::kernel
