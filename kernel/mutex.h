// Mutex, Condition, Semaphore: what tasks wait for and what may be held while sleeping.
//
// Context of everything here: task, interrupts on, no spinlock held; post() of a semaphore may be called from anywhere.
#pragma once

#include "base/assert.h"
#include "base/types.h"
#include "kernel/lock.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

// Held by one task, released by the same. Not recursive.
class Mutex {
public:
    constexpr Mutex() = default;
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock();
    [[nodiscard]] bool try_lock();
    void unlock();
    bool is_held_by_me() const { return owner_.load(std::memory_order_relaxed) == &current_task(); }

private:
    void become_owner();  // lock_

    SpinLock lock_{LockRank::wait};
    WaitQueue waiters_;                  // lock_
    std::atomic<Task*> owner_{nullptr};  // written under lock_; only its own task relies on it without the lock
};

class MutexGuard {
public:
    explicit MutexGuard(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
    ~MutexGuard() { mutex_.unlock(); }
    MutexGuard(const MutexGuard&) = delete;
    MutexGuard& operator=(const MutexGuard&) = delete;

private:
    Mutex& mutex_;
};

// For something that a mutex protects. A wait may end for no reason.
class Condition {
public:
    constexpr Condition() = default;
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

    // Gives the mutex, held by this task, up while it waits.
    WaitResult wait(Mutex& mutex, u64 deadline_ns = kNever, Interruptible interruptible = Interruptible::no);
    void notify_one();
    void notify_all();

private:
    SpinLock lock_{LockRank::wait};
    WaitQueue waiters_;  // lock_
};

class Semaphore {
public:
    constexpr explicit Semaphore(u64 count = 0) : count_(count) {}
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;

    // Takes one when it returns `woken`.
    WaitResult wait(u64 deadline_ns = kNever, Interruptible interruptible = Interruptible::no);
    [[nodiscard]] bool try_wait();
    // Context: any; no lock of rank wait or above.
    void post(u64 count = 1);

private:
    SpinLock lock_{LockRank::wait};
    WaitQueue waiters_;  // lock_
    u64 count_;          // lock_
};

}  // namespace graft::kernel
