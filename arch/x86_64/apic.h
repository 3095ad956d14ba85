// The interrupt controllers: each processor's local APIC (xAPIC, or x2APIC where there is one) with its timer, the I/O
// APICs, and the two 8259s, which are only silenced.
//
// Locking: local APIC functions touch the calling processor's own and need interrupts off or no migration; sending is
// safe with interrupts on or off. I/O APIC functions are serialised by the caller (drivers claim lines at start).
#pragma once

#include <span>

#include "arch/x86_64/pure/acpi_tables.h"
#include "base/types.h"

namespace graft::arch {

// Masks the 8259s, maps and enables the boot processor's local APIC.
// Context: boot processor, after init_paging().
void init_local_apic(PhysAddr address);
// Context: another processor, at its start (start_processor() does it).
void enable_local_apic();

// Acknowledges the interrupt being handled (not: spurious, NMI, exceptions).
void end_of_interrupt();

// Raises `vector` on a processor by index, or on all that run but this one.
// Context: any; the call returns when the message was taken, not when it was handled.
void send_interrupt(u32 processor_index, u32 vector);
void send_interrupt_to_others(u32 vector);
// A non-maskable interrupt: only sync.h's reports and panic use it.
void send_nmi(u32 processor_index);

// ---- timer ----

// Measures the timer against the clock (clock.h). Context: boot processor, once; takes about 10 ms.
void calibrate_timer();
// Raises kVectorTimer on this processor once, `delay_ns` from now (at least one tick; longer than the counter holds is
// cut to what it holds: the handler looks at the clock anyway). Replaces what was set before.
void set_timer(u64 delay_ns);
// Raises kVectorTimer every `period_ns`.
void set_periodic_timer(u64 period_ns);
void stop_timer();

// ---- lines of I/O APICs ----

// Maps the I/O APICs and masks all their lines. Context: boot processor, after init_paging().
void init_io_apics(const AcpiInfo& acpi);

// Routes the line of a legacy interrupt (0 … 15, overrides of the MADT applied), or of a global system interrupt, to a
// processor, as `vector`. Edge-triggered, active high, unless the MADT or the arguments say otherwise.
// False when no I/O APIC serves the line.
[[nodiscard]] bool route_legacy_interrupt(u8 irq, u32 vector, u32 processor_index);
[[nodiscard]] bool route_interrupt(u32 gsi, u32 vector, u32 processor_index, bool level_triggered, bool active_low);
void mask_interrupt(u32 gsi);

}  // namespace graft::arch
