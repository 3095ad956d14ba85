// The multiboot2 boot information [mb2 §3.6] as a BootInfo. Pure: a reader over the bytes of the structure.
#pragma once

#include <span>

#include "base/result.h"
#include "boot/boot_info.h"

namespace graft::boot {

inline constexpr u32 kMultiboot2Magic = 0x36d76289;  // in EAX at the entry [mb2 §3.5]
inline constexpr u32 kMaxMultiboot2Size = 1024 * 1024;

// `bytes`: the whole structure, whose first word says how long it is. `where`: its address, for errors only; except
// that the RSDP's copy inside is reported by its own address.
[[nodiscard]] Result<void, BootError> parse_multiboot2(std::span<const std::byte> bytes, PhysAddr where,
                                                       BootInfo& info);

}  // namespace graft::boot
