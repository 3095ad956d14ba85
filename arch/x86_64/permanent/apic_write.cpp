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

void send_interrupt_to_others(u32 vector) {
    using namespace permanent;
    InterruptsOff off;
    u32 own = this_cpu().index;
    u32 count = processor_count.load(std::memory_order_acquire);
    for (u32 index = 0; index < count; ++index)
        if (index != own) send_command(processors[index]->apic_id, kCommandFixed | vector);
}

void send_nmi(u32 processor_index) {
    permanent::send_command(permanent::processors[processor_index]->apic_id, permanent::kCommandNmi);
}

}  // namespace graft::arch
