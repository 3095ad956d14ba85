#include "arch/x86_64/interrupts.h"

#include "arch/x86_64/segments.h"

extern "C" const char graft_vector_stubs[];

namespace graft::arch {

namespace {

constexpr usize kVectorCount = 256;
constexpr u64 kStubSize = 16;        // of permanent/entry.S
constexpr u8 kInterruptGate = 0x8e;  // present, ring 0, 64-bit interrupt gate [intel/vol3 §6.14.1]

struct Gate {
    u16 offset_low;
    u16 selector;
    u8 ist;
    u8 type;
    u16 offset_middle;
    u32 offset_high;
    u32 reserved;
};
static_assert(sizeof(Gate) == 16);

alignas(16) Gate gates[kVectorCount];

u8 ist_of(u32 vector) {
    switch (vector) {
        case kVectorDoubleFault:
            return kIstDoubleFault;
        case kVectorNmi:
            return kIstNmi;
        case kVectorMachineCheck:
            return kIstMachineCheck;
        default:
            return 0;
    }
}

// [intel/vol3 table 6-1]
constexpr const char* kExceptionNames[kExceptionCount] = {"divide error",
                                                          "debug",
                                                          "non-maskable interrupt",
                                                          "breakpoint",
                                                          "overflow",
                                                          "bound range exceeded",
                                                          "invalid opcode",
                                                          "device not available",
                                                          "double fault",
                                                          nullptr,
                                                          "invalid TSS",
                                                          "segment not present",
                                                          "stack fault",
                                                          "general protection",
                                                          "page fault",
                                                          nullptr,
                                                          "x87 floating point",
                                                          "alignment check",
                                                          "machine check",
                                                          "SIMD floating point",
                                                          "virtualization",
                                                          "control protection"};

}  // namespace

void init_interrupt_table() {
    for (u32 vector = 0; vector < kVectorCount; ++vector) {
        u64 stub = reinterpret_cast<u64>(graft_vector_stubs) + vector * kStubSize;
        gates[vector] = {static_cast<u16>(stub),
                         kCodeSelector,
                         ist_of(vector),
                         kInterruptGate,
                         static_cast<u16>(stub >> 16),
                         static_cast<u32>(stub >> 32),
                         0};
    }
}

void load_interrupt_table() {
    struct [[gnu::packed]] {
        u16 limit = sizeof(gates) - 1;
        u64 base = reinterpret_cast<u64>(gates);
    } table;
    asm volatile("lidt %0" ::"m"(table));
}

const char* exception_name(u64 vector) {
    return vector < kExceptionCount ? kExceptionNames[vector] : nullptr;
}

}  // namespace graft::arch
