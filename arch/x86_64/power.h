// Ends the machine: power-off, reset, and QEMU's exit device. None of them returns; what the machine refuses ends in a
// halt. Context: any; interrupts are turned off.
#pragma once

#include "base/types.h"

namespace graft::arch {

// ACPI S5, by the PM1 control registers or the sleep registers of hardware-reduced machines [acpi §7.4, §4.8.3.7].
[[noreturn]] void power_off();

// ACPI's reset register, else the keyboard controller, else a triple fault.
[[noreturn]] void reset();

// QEMU's isa-debug-exit at port 0xf4: QEMU ends with exit status 2 * code + 1. Returns nothing where there is no such
// device: falls through to power_off().
[[noreturn]] void debug_exit(u32 code);

}  // namespace graft::arch
