#include "kernel/mutex.h"

namespace graft::kernel {

void Mutex::lock() {
    assert_may_sleep();
    GRAFT_ASSERT(!is_held_by_me());
    SpinGuard<IrqSave> guard(lock_);
    while (owner_.load(std::memory_order_relaxed)) waiters_.wait(guard);
    become_owner();
}

void Mutex::become_owner() {
    Task& task = current_task();
    owner_.store(&task, std::memory_order_relaxed);  // ordered by lock_
    ++task.held_mutexes;
}

bool Mutex::try_lock() {
    SpinGuard<IrqSave> guard(lock_);
    if (owner_.load(std::memory_order_relaxed)) return false;
    become_owner();
    return true;
}

void Mutex::unlock() {
    SpinGuard<IrqSave> guard(lock_);
    GRAFT_ASSERT(is_held_by_me());
    owner_.store(nullptr, std::memory_order_relaxed);  // ordered by lock_
    --current_task().held_mutexes;
    waiters_.wake_one();
}

WaitResult Condition::wait(Mutex& mutex, u64 deadline_ns, Interruptible interruptible) {
    WaitResult result;
    {
        // The wait has begun before the mutex is given up: whoever then changes what it protects finds the waiter here.
        SpinGuard<IrqSave> guard(lock_);
        result = waiters_.wait(guard, deadline_ns, interruptible, &mutex);
    }
    mutex.lock();
    return result;
}

void Condition::notify_one() {
    SpinGuard<IrqSave> guard(lock_);
    waiters_.wake_one();
}

void Condition::notify_all() {
    SpinGuard<IrqSave> guard(lock_);
    waiters_.wake_all();
}

WaitResult Semaphore::wait(u64 deadline_ns, Interruptible interruptible) {
    assert_may_sleep();
    SpinGuard<IrqSave> guard(lock_);
    while (count_ == 0) {
        WaitResult result = waiters_.wait(guard, deadline_ns, interruptible);
        if (result != WaitResult::woken && count_ == 0) return result;
    }
    --count_;
    return WaitResult::woken;
}

bool Semaphore::try_wait() {
    SpinGuard<IrqSave> guard(lock_);
    if (count_ == 0) return false;
    --count_;
    return true;
}

void Semaphore::post(u64 count) {
    SpinGuard<IrqSave> guard(lock_);
    count_ += count;
    for (u64 i = 0; i < count && !waiters_.empty(); ++i) waiters_.wake_one();
}

}  // namespace graft::kernel
