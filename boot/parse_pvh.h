// The PVH start information (Xen's hvm_start_info, public header xen/arch-x86/hvm/start_info.h) as a BootInfo. Pure: it
// follows physical addresses through a reader.
#pragma once

#include "arch/x86_64/pure/acpi_tables.h"
#include "base/result.h"
#include "boot/boot_info.h"

namespace graft::boot {

inline constexpr u32 kPvhMagic = 0x336ec578;  // first word of the structure

[[nodiscard]] Result<void, BootError> parse_pvh(const arch::MemoryReader& memory, PhysAddr start_info, BootInfo& info);

}  // namespace graft::boot
