// ChangingSet: all code in which a task counts as inside a changing function: of each function that the transition
// changes every version with every part, of each held one its parts, the whole text of the patches that come and go,
// and the transition's trampolines. One set serves both directions, so a transition that is turned round keeps it.
//
// Invariant: sorted, without overlap, and unchanged from the first live call site to the end of the transition; so any
// processor may search it without a lock.
#pragma once

#include "base/types.h"
#include "patch/machine.h"
#include "patch/memory.h"

namespace graft::patch {

class ChangingSet {
public:
    // Room for `capacity` ranges; false when there is no memory.
    [[nodiscard]] bool reserve(Machine& machine, usize capacity);
    // Empty ranges are left out.
    void add(AddressRange range);
    // After the last add(), before the first contains().
    void close();

    // Context: any; binary search.
    bool contains(VirtAddr pc) const;
    std::span<const AddressRange> ranges() const { return {ranges_.data(), count_}; }

private:
    RecordArray<AddressRange> ranges_;
    usize count_ = 0;
};

}  // namespace graft::patch
