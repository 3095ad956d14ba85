// What both protocols' boot information consists of, memory in E820's types and modules, put into a BootInfo, which has
// room for so many. Pure.
#pragma once

#include "boot/boot_info.h"

namespace graft::boot {

// Adds a range of memory, `type` as in the BIOS's E820 map. Empty and wrapping ranges are left out: firmware has both.
// False when there is no room for it; `entries_dropped` says so then.
[[nodiscard]] bool add_memory(BootInfo& info, u64 begin, u64 length, u32 type);

// Adds a module that has no name yet. Null when there is no room for it; `entries_dropped` says so then.
[[nodiscard]] Module* add_module(BootInfo& info, arch::PhysRange range);

}  // namespace graft::boot
