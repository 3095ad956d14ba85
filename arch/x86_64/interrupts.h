// Interrupt vectors and the interrupt descriptor table.
//
// Every vector enters permanent code (permanent/entry.S), which keeps for itself: #BP (call sites that are being
// written), NMI, #DF and #MC (own stacks, fatal), kVectorSync, kVectorStop and kVectorSpurious. All others go up to
// graft_upcall_interrupt(). All gates keep interrupts off; handlers run on the interrupted stack, but those with an own
// one.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/offsets.h"
#include "arch/x86_64/upcalls.h"
#include "base/types.h"

namespace graft::arch {

// Exceptions [intel/vol3 §6.3.1]
inline constexpr u32 kVectorDivide = 0;
inline constexpr u32 kVectorDebug = 1;
inline constexpr u32 kVectorNmi = 2;
inline constexpr u32 kVectorBreakpoint = 3;
inline constexpr u32 kVectorInvalidOpcode = 6;
inline constexpr u32 kVectorDoubleFault = 8;
inline constexpr u32 kVectorGeneralProtection = 13;
inline constexpr u32 kVectorPageFault = 14;
inline constexpr u32 kVectorMachineCheck = 18;
inline constexpr u32 kExceptionCount = 32;

// The 8259s are masked, but a spurious interrupt of theirs may still come: 0x20 … 0x2f belong to nobody else.
inline constexpr u32 kVectorLegacyBase = 0x20;
// Lines of I/O APICs, given out by whoever routes them (apic.h).
inline constexpr u32 kVectorExternalBase = 0x30;
inline constexpr u32 kExternalVectorCount = 0xa0;

inline constexpr u32 kVectorTimer = 0xd0;       // the local APIC's timer
inline constexpr u32 kVectorReschedule = 0xd1;  // another processor made a task ready here
inline constexpr u32 kVectorCheck = 0xd2;       // examine the running task for the transition
inline constexpr u32 kVectorSync = 0xf0;        // serialise and answer (sync.h)
inline constexpr u32 kVectorStop = 0xf1;        // stand still (sync.h)
inline constexpr u32 kVectorSpurious = 0xff;    // low four bits set: older local APICs insist on it [intel/vol3 §10.9]

// In InterruptFrame::vector of the record that the return hook builds: no vector.
inline constexpr u32 kVectorReturnHook = GRAFT_VECTOR_RETURN_HOOK;

// Fills the descriptor table (the same for all processors). Context: boot processor, once, before
// load_interrupt_table().
void init_interrupt_table();
// Context: each processor, interrupts off.
void load_interrupt_table();

// A short name ("page fault", "general protection"), or null for what isn't an exception.
const char* exception_name(u64 vector);

}  // namespace graft::arch
