#include "arch/x86_64/power.h"

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/paging.h"

namespace graft::arch {

namespace {

constexpr u16 kDebugExitPort = 0xf4;  // as the command line of QEMU places isa-debug-exit
constexpr u32 kPatience = 1'000'000;

void wait_a_little() {
    for (u32 turn = 0; turn < kPatience; ++turn) pause();
}

void write_register(const AcpiRegister& target, u8 value) {
    if (target.space == AcpiRegister::Space::io) {
        out8(static_cast<u16>(target.address), value);
    } else if (target.space == AcpiRegister::Space::memory) {
        VirtAddr registers = map_mmio(PhysAddr{target.address}, 1);
        if (registers) *registers.as<volatile u8>() = value;
    }
}

}  // namespace

void power_off() {
    disable_interrupts();
    const AcpiInfo& info = acpi();
    if (info.hardware_reduced) {
        // SLP_TYPx in bits 2 … 4, SLP_EN in bit 5 [acpi §4.8.3.7]; type 5 when the DSDT doesn't say.
        u8 type = info.has_s5 ? info.s5_type_a : 5;
        write_register(info.sleep_control, static_cast<u8>(type << 2 | 1u << 5));
    } else if (info.has_s5) {
        // SLP_TYPx in bits 10 … 12, SLP_EN in bit 13 [acpi §4.8.3.2.1].
        if (info.pm1a_control) out16(info.pm1a_control, static_cast<u16>(info.s5_type_a << 10 | 1u << 13));
        if (info.pm1b_control) out16(info.pm1b_control, static_cast<u16>(info.s5_type_b << 10 | 1u << 13));
    }
    halt_for_ever();
}

void reset() {
    disable_interrupts();
    write_register(acpi().reset_register, acpi().reset_value);
    wait_a_little();
    out8(0x64, 0xfe);  // the keyboard controller pulses the processor's reset line
    wait_a_little();
    // A breakpoint without an interrupt table: triple fault.
    struct [[gnu::packed]] {
        u16 limit = 0;
        u64 base = 0;
    } none;
    asm volatile("lidt %0\n\tint3" ::"m"(none));
    halt_for_ever();
}

void debug_exit(u32 code) {
    disable_interrupts();
    out32(kDebugExitPort, code);
    power_off();
}

}  // namespace graft::arch
