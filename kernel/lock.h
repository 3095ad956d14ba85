// Spinlocks: held with interrupts off and never while sleeping, so whoever holds one can't be preempted. The order in
// which they nest is total (LockRank) and is checked at every acquisition.
//
// What must hold for long, or while sleeping, is a Mutex (kernel/mutex.h).
#pragma once

#include <atomic>
#include <utility>

#include "arch/x86_64/cpu.h"
#include "base/types.h"

namespace graft::kernel {

// A lock may be taken only while every lock held by this processor has a lower rank. Outermost first.
enum class LockRank : u8 {
    device,     // a driver's rings; held while it wakes those who wait for them
    task_list,  // the list of all tasks and the births counted in it
    wait,       // a wait queue and what is waited for; held while tasks are woken
    timers,     // pending deadlines; held while sleepers are woken
    run_queue,  // a processor's ready tasks; held across the context switch
    mapping,    // page tables; needs pages for them
    shadow,     // shadow variables; nothing is called with it held
    heap,       // objects; needs pages for slabs
    pages,      // page frames
    log,        // the log ring; innermost, so that everybody may log but those who hold a run queue (see log.h)
};

class SpinLock {
public:
    constexpr explicit SpinLock(LockRank rank) : rank_(rank) {}
    SpinLock(const SpinLock&) = delete;
    SpinLock& operator=(const SpinLock&) = delete;

    // Context: interrupts off; they stay so until release(). Use a SpinGuard: these two are for the context switch,
    // where one task acquires and another releases.
    void acquire();
    void release();
    // Context: as acquire(), but any rank may be held: it doesn't wait.
    [[nodiscard]] bool try_acquire();

    bool is_held() const { return held_.load(std::memory_order_relaxed); }
    LockRank rank() const { return rank_; }

private:
    std::atomic<bool> held_{false};
    const LockRank rank_;
};

struct IrqSave {};         // turns interrupts off, restores them as they were
struct IrqsAlreadyOff {};  // the caller has them off already (asserted)

template <typename Irq>
class SpinGuard;

template <>
class SpinGuard<IrqSave> {
public:
    explicit SpinGuard(SpinLock& lock) : lock_(lock) { acquire(); }
    ~SpinGuard() { release(); }
    SpinGuard(const SpinGuard&) = delete;
    SpinGuard& operator=(const SpinGuard&) = delete;

    // Gives the lock up for a while, interrupts as they were; a wait does this around its sleep.
    void release() {
        lock_.release();
        if (were_enabled_) arch::enable_interrupts();
    }
    void acquire() {
        were_enabled_ = arch::interrupts_enabled();
        arch::disable_interrupts();
        lock_.acquire();
    }
    bool will_enable_interrupts() const { return were_enabled_; }

private:
    SpinLock& lock_;
    bool were_enabled_ = false;
};

template <>
class SpinGuard<IrqsAlreadyOff> {
public:
    explicit SpinGuard(SpinLock& lock) : lock_(lock) { lock_.acquire(); }
    ~SpinGuard() { lock_.release(); }
    SpinGuard(const SpinGuard&) = delete;
    SpinGuard& operator=(const SpinGuard&) = delete;

private:
    SpinLock& lock_;
};

// Data that can't be reached without its lock.
template <typename T, LockRank Rank>
class Guarded {
public:
    template <typename... Arguments>
    constexpr explicit Guarded(Arguments&&... arguments) : value_(std::forward<Arguments>(arguments)...) {}

    template <typename Use>
    decltype(auto) with(Use&& use) {
        SpinGuard<IrqSave> guard(lock_);
        return std::forward<Use>(use)(value_);
    }

private:
    SpinLock lock_{Rank};
    T value_;
};

// The first line of everything that may sleep: interrupts are on and no spinlock is held.
void assert_may_sleep();

}  // namespace graft::kernel
