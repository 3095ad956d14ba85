// Stacks: mapped page runs in a region of their own, with an unmapped page below and above each. Those of the default
// size are kept for reuse; when too many are kept, half of them go at once, so that one flush of all TLBs serves many.
#pragma once

#include <optional>

#include "base/types.h"

namespace graft::kernel {

// Context: boot, after init_memory().
void init_stacks();

// `size` is rounded up to pages. Contents undefined. Nothing when there is no memory.
// Context: any with interrupts on or off, no lock of rank mapping or above.
[[nodiscard]] std::optional<AddressRange> allocate_stack(usize size);
// Context: task or boot: it may flush all TLBs.
void release_stack(AddressRange stack);

// Whether an address lies in the stack region but in no stack: somebody ran over the end of one.
[[nodiscard]] bool is_stack_guard(VirtAddr address);

struct StackStatistics {
    u64 in_use = 0;
    u64 kept = 0;
};
[[nodiscard]] StackStatistics stack_statistics();

}  // namespace graft::kernel
