#include "kernel/pure/timer_queue.h"

#include "base/assert.h"

namespace graft::kernel {

void TimerQueue::insert(TimerEntry& entry, u64 deadline_ns) {
    GRAFT_ASSERT(!entry.queued_);
    entry.deadline_ns_ = deadline_ns;
    entry.child_ = nullptr;
    entry.sibling_ = nullptr;
    entry.back_ = nullptr;
    entry.queued_ = true;
    root_ = meld(root_, &entry);
    ++size_;
}

void TimerQueue::remove(TimerEntry& entry) {
    GRAFT_ASSERT(entry.queued_);
    TimerEntry* orphans = meld_siblings(entry.child_);
    if (root_ == &entry) {
        root_ = orphans;
    } else {
        if (entry.back_->child_ == &entry) {
            entry.back_->child_ = entry.sibling_;
        } else {
            entry.back_->sibling_ = entry.sibling_;
        }
        if (entry.sibling_) entry.sibling_->back_ = entry.back_;
        root_ = meld(root_, orphans);
    }
    entry.child_ = nullptr;
    entry.sibling_ = nullptr;
    entry.back_ = nullptr;
    entry.queued_ = false;
    --size_;
}

// Both are roots without siblings, or null.
TimerEntry* TimerQueue::meld(TimerEntry* left, TimerEntry* right) {
    if (!left) return right;
    if (!right) return left;
    if (right->deadline_ns_ < left->deadline_ns_) {
        TimerEntry* swapped = left;
        left = right;
        right = swapped;
    }
    right->sibling_ = left->child_;
    if (right->sibling_) right->sibling_->back_ = right;
    right->back_ = left;
    left->child_ = right;
    return left;
}

// Two passes: pairs from the left, then the pairs from the right. Without recursion, since ten thousand siblings are
// possible and stacks are small.
TimerEntry* TimerQueue::meld_siblings(TimerEntry* first) {
    TimerEntry* pairs = nullptr;
    while (first) {
        TimerEntry* left = first;
        TimerEntry* right = left->sibling_;
        first = right ? right->sibling_ : nullptr;
        left->sibling_ = nullptr;
        left->back_ = nullptr;
        if (right) {
            right->sibling_ = nullptr;
            right->back_ = nullptr;
        }
        TimerEntry* pair = meld(left, right);
        pair->sibling_ = pairs;
        pairs = pair;
    }
    TimerEntry* whole = nullptr;
    while (pairs) {
        TimerEntry* pair = pairs;
        pairs = pair->sibling_;
        pair->sibling_ = nullptr;
        whole = meld(whole, pair);
    }
    return whole;
}

bool TimerQueue::has_entry_within(AddressRange memory) const {
    for (const TimerEntry* entry = root_; entry; entry = after(entry)) {
        if (memory.contains(VirtAddr(entry))) return true;
    }
    return false;
}

// The next one of a walk, children before siblings; null behind the last. Without recursion, too.
const TimerEntry* TimerQueue::after(const TimerEntry* entry) {
    if (entry->child_) return entry->child_;
    while (entry && !entry->sibling_) {
        while (entry->back_ && entry->back_->child_ != entry) entry = entry->back_;  // past the elder siblings
        entry = entry->back_;
    }
    return entry ? entry->sibling_ : nullptr;
}

}  // namespace graft::kernel
