// What permanent code shares among its files, and with the ordinary code that sets it up. Plain variables, and
// what is inlined everywhere: nothing here may be reached through a function with a call site.
#pragma once

#include <atomic>

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/pure/poke_plan.h"
#include "base/types.h"

namespace graft::arch::permanent {

// One processor's part in rounds (sync.h). Written by its own processor unless it says otherwise.
struct alignas(64) SyncState {
    std::atomic<u64> answered{0};  // the highest round answered; pairs: release in answer(), acquire in whoever waits
    u64 flushed = 0;               // the highest flush generation that its TLB has followed
    // 0: nothing wanted; 1: an NMI is to record the registers in `found`; 2: recorded.
    // Pairs: 1 is stored (release) by who waits and loaded (acquire) by the NMI; 2 the other way round.
    std::atomic<u32> report{0};
    InterruptFrame found{};
    // Where this processor stands still; null while it doesn't. Pairs: release in stand_still(), acquire in sync.cpp.
    std::atomic<const InterruptFrame*> stopped{nullptr};
};

extern SyncState sync_states[kMaxProcessors];
extern PerCpu* processors[kMaxProcessors];
extern std::atomic<u32>
    processor_count;  // pairs: release in smp.cpp when a processor has arrived, acquire in all readers
// Raised before a round that wants TLBs flushed: whoever sees the round sees this too.
// Pairs: fetch_add (acq_rel) in flush_tlbs(), acquire in answer().
extern std::atomic<u64> flush_generation;
// Pairs: exchange (acq_rel) in stop_others_for_ever(), acquire in handle_nmi().
extern std::atomic<bool> stopped_for_ever;
extern u64 silence_bound_tsc;  // kSilenceBoundNs in TSC ticks; 0 until the clock runs: nothing is reported

// The local APIC: registers mapped here, or by MSRs.
extern volatile u32* local_apic;
extern bool is_x2apic;

extern CallSite* call_sites;
extern usize call_site_count;
extern std::atomic<u64> breakpoints_taken;  // only counts

// The text writer's address space: top-level table for CR3, and the page-table entry of the one alias.
extern u64 poke_page_table;
extern volatile u64* poke_entry;
inline constexpr u64 kPokeAlias = 0x40'0000;

// Local APIC registers, as offsets of the memory-mapped form [intel/vol3 table 10-1].
inline constexpr u32 kApicId = 0x20;
inline constexpr u32 kApicVersion = 0x30;
inline constexpr u32 kApicTaskPriority = 0x80;
inline constexpr u32 kApicEoi = 0xb0;
inline constexpr u32 kApicSpurious = 0xf0;
inline constexpr u32 kApicCommandLow = 0x300;
inline constexpr u32 kApicCommandHigh = 0x310;
inline constexpr u32 kApicTimer = 0x320;
inline constexpr u32 kApicLint0 = 0x350;
inline constexpr u32 kApicLint1 = 0x360;
inline constexpr u32 kApicError = 0x370;
inline constexpr u32 kApicTimerInitial = 0x380;
inline constexpr u32 kApicTimerCurrent = 0x390;
inline constexpr u32 kApicTimerDivide = 0x3e0;

[[gnu::always_inline]] inline u32 read_apic(u32 offset) {
    if (is_x2apic) return static_cast<u32>(read_msr(kMsrX2ApicBase + offset / 16));
    return local_apic[offset / 4];
}
[[gnu::always_inline]] inline void write_apic(u32 offset, u32 value) {
    if (is_x2apic)
        write_msr(kMsrX2ApicBase + offset / 16, value);
    else
        local_apic[offset / 4] = value;
}
// Delivery mode and vector as in the command register's low word [intel/vol3 §10.6.1]; waits until the message was
// taken.
void send_command(u32 apic_id, u32 command);
inline constexpr u32 kCommandFixed = 0x4000;  // plus the vector; bit 14: assert
inline constexpr u32 kCommandNmi = 0x4400;
inline constexpr u32 kCommandInit = 0x4500;
inline constexpr u32 kCommandStartup = 0x4600;  // plus the page number

// Executes a serialising instruction, follows flush requests, and publishes that. Interrupts off.
void answer();
void stand_still(const InterruptFrame* frame);
// NMI: records registers for a waiting processor, stands still for panic, or is fatal.
void handle_nmi(InterruptFrame* frame);
// Null when no call site begins there.
CallSite* find_site(u64 entry);
// Waits for something that an NMI makes true on another processor, but not for ever: it may be broken.
template <typename Condition>
[[gnu::always_inline]] inline bool wait_for_nmi(Condition holds) {
    u64 begin = read_tsc();
    u64 patience = silence_bound_tsc / 20;
    while (!holds()) {
        if (read_tsc() - begin > patience) return false;
        pause();
    }
    return true;
}
// True when the breakpoint was a call site, and the frame now goes on at its target.
bool redirect_breakpoint(InterruptFrame* frame);

// Executes the checked steps of a batch.
void write_pokes(const Poke* pokes, usize count);

}  // namespace graft::arch::permanent
