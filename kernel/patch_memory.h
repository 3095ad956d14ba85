// Memory for patches: pieces of the region near the image, with an unmapped page around each. A released piece is
// unmapped at once and its addresses are not used again for the next kQuarantineLoads loads, so that a stale pointer
// faults.
//
// Lock: the registry's, for everything here. Context: task.
#pragma once

#include "base/types.h"
#include "patch/machine.h"

namespace graft::kernel {

inline constexpr u64 kQuarantineLoads = 100;

// Context: boot, after init_memory().
void init_patch_memory();

[[nodiscard]] patch::MachineResult<patch::PatchMemory> reserve_patch_memory(const patch::MemoryRequest& request);
[[nodiscard]] patch::MachineResult<void> seal_patch_memory(const patch::PatchMemory& memory);
void release_patch_memory(const patch::PatchMemory& memory);

// Calls visit() for the writable data of each patch; `direct` is where it begins in the direct map.
class PatchDataVisitor {
public:
    virtual void visit(AddressRange data, VirtAddr direct) = 0;

protected:
    ~PatchDataVisitor() = default;
};
void for_each_patch_data(PatchDataVisitor& visitor);

}  // namespace graft::kernel
