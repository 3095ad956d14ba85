#include "kernel/lock.h"

#include "base/assert.h"
#include "kernel/processor.h"

namespace graft::kernel {

void SpinLock::acquire() {
    GRAFT_ASSERT(!arch::interrupts_enabled());
    Processor* processor = this_processor_or_null();
    if (processor) processor->held_locks.check(rank_);
    // Acquire pairs with SpinLock::release().
    while (held_.exchange(true, std::memory_order_acquire)) {
        while (held_.load(std::memory_order_relaxed)) arch::pause();
    }
    if (processor) processor->held_locks.push(rank_);
}

bool SpinLock::try_acquire() {
    GRAFT_ASSERT(!arch::interrupts_enabled());
    // Acquire pairs with SpinLock::release().
    if (held_.exchange(true, std::memory_order_acquire)) return false;
    if (Processor* processor = this_processor_or_null()) processor->held_locks.push(rank_);
    return true;
}

void SpinLock::release() {
    if (Processor* processor = this_processor_or_null()) processor->held_locks.remove(rank_);
    held_.store(false, std::memory_order_release);  // pairs with SpinLock::acquire() and try_acquire()
}

void HeldLocks::check(LockRank rank) const {
    for (u32 i = 0; i < count_; ++i) GRAFT_ASSERT(ranks_[i] < rank);
}

void HeldLocks::push(LockRank rank) {
    GRAFT_ASSERT(count_ < ranks_.size());
    ranks_[count_++] = rank;
}

// Locks need not be released in reverse order of acquisition.
void HeldLocks::remove(LockRank rank) {
    for (u32 i = count_; i-- > 0;) {
        if (ranks_[i] != rank) continue;
        for (u32 j = i + 1; j < count_; ++j) ranks_[j - 1] = ranks_[j];
        --count_;
        return;
    }
    GRAFT_ASSERT(!"the lock is held by this processor");
}

void assert_may_sleep() {
    GRAFT_ASSERT(arch::interrupts_enabled());
    arch::InterruptsOff off;
    Processor* processor = this_processor_or_null();
    GRAFT_ASSERT(processor && processor->held_locks.empty());
}

}  // namespace graft::kernel
