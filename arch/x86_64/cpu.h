// The processor's instructions as functions: port I/O, model-specific and control registers, identification, time
// stamp, interrupt flag. Nothing here holds state or takes a lock; each function is one instruction or a few.
//
// All are forced inline: permanent code uses them, and a copy out of line would have a call site.
#pragma once

#include "base/types.h"

#define GRAFT_ALWAYS_INLINE [[gnu::always_inline]] inline

namespace graft::arch {

inline constexpr u64 kFlagTrap = 1u << 8;       // RFLAGS.TF [intel/vol1 §3.4.3]
inline constexpr u64 kFlagInterrupt = 1u << 9;  // RFLAGS.IF

inline constexpr u32 kMsrApicBase = 0x1b;     // [intel/vol4 table 2-2]
inline constexpr u32 kMsrPat = 0x277;         // [intel/vol3 §11.12]
inline constexpr u32 kMsrX2ApicBase = 0x800;  // [intel/vol3 §10.12.1.2]
inline constexpr u32 kMsrEfer = 0xc0000080;   // [intel/vol4 table 2-2]
inline constexpr u32 kMsrFsBase = 0xc0000100;
inline constexpr u32 kMsrGsBase = 0xc0000101;

inline constexpr u64 kEferLongMode = 1u << 8;
inline constexpr u64 kEferNoExecute = 1u << 11;

inline constexpr u64 kCr0MonitorCoprocessor = 1u << 1;  // [intel/vol3 §2.5]
inline constexpr u64 kCr0Emulation = 1u << 2;
inline constexpr u64 kCr0TaskSwitched = 1u << 3;
inline constexpr u64 kCr0WriteProtect = 1u << 16;
inline constexpr u64 kCr4FxSave = 1u << 9;
inline constexpr u64 kCr4SimdExceptions = 1u << 10;

GRAFT_ALWAYS_INLINE void out8(u16 port, u8 value) {
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
GRAFT_ALWAYS_INLINE void out16(u16 port, u16 value) {
    asm volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
GRAFT_ALWAYS_INLINE void out32(u16 port, u32 value) {
    asm volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
GRAFT_ALWAYS_INLINE u8 in8(u16 port) {
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
GRAFT_ALWAYS_INLINE u16 in16(u16 port) {
    u16 value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
GRAFT_ALWAYS_INLINE u32 in32(u16 port) {
    u32 value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

GRAFT_ALWAYS_INLINE u64 read_msr(u32 msr) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return u64{high} << 32 | low;
}
GRAFT_ALWAYS_INLINE void write_msr(u32 msr, u64 value) {
    asm volatile("wrmsr" ::"c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}

GRAFT_ALWAYS_INLINE u64 read_cr0() {
    u64 value;
    asm volatile("movq %%cr0, %0" : "=r"(value));
    return value;
}
GRAFT_ALWAYS_INLINE void write_cr0(u64 value) {
    asm volatile("movq %0, %%cr0" ::"r"(value) : "memory");
}
// The address whose access faulted.
GRAFT_ALWAYS_INLINE u64 read_cr2() {
    u64 value;
    asm volatile("movq %%cr2, %0" : "=r"(value));
    return value;
}
GRAFT_ALWAYS_INLINE u64 read_cr3() {
    u64 value;
    asm volatile("movq %%cr3, %0" : "=r"(value));
    return value;
}
GRAFT_ALWAYS_INLINE void write_cr3(u64 value) {
    asm volatile("movq %0, %%cr3" ::"r"(value) : "memory");
}
GRAFT_ALWAYS_INLINE u64 read_cr4() {
    u64 value;
    asm volatile("movq %%cr4, %0" : "=r"(value));
    return value;
}
GRAFT_ALWAYS_INLINE void write_cr4(u64 value) {
    asm volatile("movq %0, %%cr4" ::"r"(value) : "memory");
}

struct CpuidLeaf {
    u32 eax, ebx, ecx, edx;
};
// Also a serialising instruction [intel/vol3 §8.3].
GRAFT_ALWAYS_INLINE CpuidLeaf cpuid(u32 leaf, u32 subleaf = 0) {
    CpuidLeaf result;
    asm volatile("cpuid"
                 : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                 : "a"(leaf), "c"(subleaf)
                 : "memory");
    return result;
}

GRAFT_ALWAYS_INLINE u64 read_tsc() {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return u64{high} << 32 | low;
}

// In a loop that waits for another processor.
GRAFT_ALWAYS_INLINE void pause() {
    asm volatile("pause" ::: "memory");
}

GRAFT_ALWAYS_INLINE void enable_interrupts() {
    asm volatile("sti" ::: "memory");
}
GRAFT_ALWAYS_INLINE void disable_interrupts() {
    asm volatile("cli" ::: "memory");
}

// Waits for an interrupt. Called with interrupts off, returns with interrupts on: what was pending before the call ends
// the wait at once, because the flag takes effect only after the next instruction [intel/vol2 "STI"].
GRAFT_ALWAYS_INLINE void enable_interrupts_and_halt() {
    asm volatile("sti\n\thlt" ::: "memory");
}

// Stops this processor for ever, except for NMIs.
[[noreturn]] GRAFT_ALWAYS_INLINE void halt_for_ever() {
    for (;;) asm volatile("cli\n\thlt" ::: "memory");
}

GRAFT_ALWAYS_INLINE u64 read_flags() {
    // The builtin's pop is exact in the call-frame information only where frame pointers are kept: the image's flags
    // do.
    return __builtin_ia32_readeflags_u64();
}
GRAFT_ALWAYS_INLINE bool interrupts_enabled() {
    return (read_flags() & kFlagInterrupt) != 0;
}

GRAFT_ALWAYS_INLINE void invalidate_page(u64 virtual_address) {
    asm volatile("invlpg (%0)" ::"r"(virtual_address) : "memory");
}
// All entries of this processor: the kernel uses no global pages.
GRAFT_ALWAYS_INLINE void flush_tlb() {
    write_cr3(read_cr3());
}

// The frame that calls this function, for a walk that starts here.
GRAFT_ALWAYS_INLINE u64 read_rsp() {
    u64 value;
    asm volatile("movq %%rsp, %0" : "=r"(value));
    return value;
}

// Interrupts off from construction to destruction; restores what it found.
class InterruptsOff {
public:
    GRAFT_ALWAYS_INLINE InterruptsOff() : were_enabled_(interrupts_enabled()) { disable_interrupts(); }
    GRAFT_ALWAYS_INLINE ~InterruptsOff() {
        if (were_enabled_) enable_interrupts();
    }
    InterruptsOff(const InterruptsOff&) = delete;
    InterruptsOff& operator=(const InterruptsOff&) = delete;

private:
    bool were_enabled_;
};

}  // namespace graft::arch
