#include "kernel/wait_queue.h"

#include "arch/x86_64/clock.h"
#include "base/assert.h"
#include "kernel/mutex.h"
#include "kernel/timers.h"

namespace graft::kernel {

namespace {

bool is_interrupted() {
    return current_task().interrupt_pending.load(std::memory_order_acquire);  // pairs with interrupt_task()
}

}  // namespace

WaitResult WaitQueue::wait(SpinGuard<IrqSave>& guard, u64 deadline_ns, Interruptible interruptible, Mutex* given_up) {
    GRAFT_ASSERT(guard.will_enable_interrupts());
    Waiter waiter;
    waiter.task = &current_task();
    waiters_.push_back(waiter);
    WaitResult result = WaitResult::woken;
    guard.release();
    if (given_up) given_up->unlock();
    {
        WakeUp alarm(deadline_ns);
        for (;;) {
            // An interruption's token may have ended another wait, one that can't be interrupted.
            if (interruptible == Interruptible::no || !is_interrupted()) park();
            guard.acquire();
            if (waiter.woken) break;
            if (interruptible == Interruptible::yes && take_interruption()) {
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

}  // namespace graft::kernel
