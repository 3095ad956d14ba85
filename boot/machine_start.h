// The machine's start: from the loader's registers to a boot processor with memory, clock, interrupt controllers and
// text writer, which is what the kernel builds on.
#pragma once

#include <optional>
#include <span>

#include "arch/x86_64/pure/acpi_tables.h"
#include "base/result.h"
#include "boot/boot_info.h"
#include "boot/early_memory.h"

namespace graft::boot {

// What the loader told. Empty until read_boot_information().
[[nodiscard]] const BootInfo& boot_info();

// `magic` and `where` are the loader's registers. Doesn't return when they make no sense: the first serial port says
// why. Context: boot processor, first of all.
void read_boot_information(u32 magic, PhysAddr where);

// All of arch/ that comes before the kernel, in order. Returns why ACPI can't be used, if it can't: then one processor
// and the plain PC's interrupt controllers are assumed. Interrupts stay off.
std::optional<arch::AcpiError> start_machine(EarlyMemory& memory);

// Where the image was loaded.
[[nodiscard]] arch::PhysRange image_in_memory();

}  // namespace graft::boot
