// TimerQueue: pending deadlines, earliest first. A pairing heap whose links lie in the entries: insertion is constant,
// removal logarithmic (amortised), nothing is allocated, and ten thousand sleepers cost no more than their entries.
//
// Entries of equal deadline come out in no particular order.
// Locking: none; the owner locks. Context: any. Host-testable.
#pragma once

#include "base/types.h"

namespace graft::kernel {

class TimerEntry {
public:
    u64 deadline_ns() const { return deadline_ns_; }
    bool is_queued() const { return queued_; }

private:
    friend class TimerQueue;

    u64 deadline_ns_ = 0;
    TimerEntry* child_ = nullptr;
    TimerEntry* sibling_ = nullptr;
    TimerEntry* back_ = nullptr;  // the elder sibling, or the parent of a first child
    bool queued_ = false;
};

class TimerQueue {
public:
    bool empty() const { return root_ == nullptr; }
    usize size() const { return size_; }
    TimerEntry* earliest() const { return root_; }
    // Whether an entry lies in that memory. Looks at all of them.
    bool has_entry_within(AddressRange memory) const;

    // The entry must not be queued.
    void insert(TimerEntry& entry, u64 deadline_ns);
    // The entry must be queued.
    void remove(TimerEntry& entry);

private:
    static TimerEntry* meld(TimerEntry* left, TimerEntry* right);
    static TimerEntry* meld_siblings(TimerEntry* first);
    static const TimerEntry* after(const TimerEntry* entry);

    TimerEntry* root_ = nullptr;
    usize size_ = 0;
};

}  // namespace graft::kernel
