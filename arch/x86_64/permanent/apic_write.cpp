// Local APIC access, acknowledgement and messages to other processors.

#include "arch/x86_64/apic.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/permanent/state.h"

namespace graft::arch {

namespace permanent {

volatile u32* local_apic;
bool is_x2apic;
PerCpu* processors[kMaxProcessors];
std::atomic<u32> processor_count{0};

namespace {

constexpr u32 kMsrX2ApicCommand = kMsrX2ApicBase + 0x30;  // one 64-bit register [intel/vol3 §10.12.9]
constexpr u32 kCommandPending = 1u << 12;

}  // namespace

u32 read_apic(u32 offset) {
    if (is_x2apic) return static_cast<u32>(read_msr(kMsrX2ApicBase + offset / 16));
    return local_apic[offset / 4];
}

void write_apic(u32 offset, u32 value) {
    if (is_x2apic)
        write_msr(kMsrX2ApicBase + offset / 16, value);
    else
        local_apic[offset / 4] = value;
}

void send_command(u32 apic_id, u32 command) {
    if (is_x2apic) {
        // A write to an MSR of x2APIC mode isn't serialising: what was stored before must be visible before the message
        // is.
        asm volatile("mfence\n\tlfence" ::: "memory");
        write_msr(kMsrX2ApicCommand, u64{apic_id} << 32 | command);
        return;
    }
    // The two halves must not be torn apart by a handler that sends a message too.
    InterruptsOff off;
    write_apic(kApicCommandHigh, apic_id << 24);
    write_apic(kApicCommandLow, command);
    while (read_apic(kApicCommandLow) & kCommandPending) pause();
}

}  // namespace permanent

void end_of_interrupt() {
    permanent::write_apic(permanent::kApicEoi, 0);
}

void send_interrupt(u32 processor_index, u32 vector) {
    permanent::send_command(permanent::processors[processor_index]->apic_id, permanent::kCommandFixed | vector);
}

void send_interrupt_to_others(u32 vector) {
    InterruptsOff off;
    u32 own = this_cpu().index;
    u32 count = permanent::processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index)
        if (index != own) send_interrupt(index, vector);
}

void send_nmi(u32 processor_index) {
    permanent::send_command(permanent::processors[processor_index]->apic_id, permanent::kCommandNmi);
}

}  // namespace graft::arch
