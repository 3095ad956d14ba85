// What is done to all processors at once: serialise, flush, stand still. Rounds and stopping are permanent code
// (permanent/sync.cpp): a constructor of WorldStopped that a transition hooked would fire its hook in a stopped world.
//
// A round is a number: whoever starts one takes the next number and interrupts the others; each answers by publishing
// the highest number it has seen, after it has executed a serialising instruction [intel/vol3 §8.3]. So rounds need no
// lock and may overlap; who waits answers too, also with interrupts off, so two that wait for each other don't hang.
//
// A processor that doesn't answer (it has interrupts off for too long) is never taken for one that has: after
// kSilenceBoundNs, and after each further such time, it is interrupted by an NMI that records its registers, and
// graft_upcall_processor_silent() reports it; the wait goes on.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr u64 kSilenceBoundNs = 5'000'000'000;

// Returns when every running processor has executed a serialising instruction after the call began, at a point with
// interrupts on (or in this function). Context: any but NMI and the fatal path; holding no lock that another processor
// spins for with interrupts off.
void synchronise_processors();

// The same, and every TLB is empty of entries older than the call.
void flush_tlbs();

// Stops all other processors at a point with interrupts on, until destruction. Interrupts are off meanwhile here too.
// Context: task with interrupts on, holding no spinlock. Not nested.
class WorldStopped {
public:
    WorldStopped();
    ~WorldStopped();
    WorldStopped(const WorldStopped&) = delete;
    WorldStopped& operator=(const WorldStopped&) = delete;
};

// While the world is stopped: the registers with which processor `index` was stopped; null for the one that stopped it.
[[nodiscard]] const InterruptFrame* stopped_frame(u32 index);

// Stops all others for good, wherever they are, by NMI: for panic. Waits a short, bounded time for them.
// Context: interrupts off. If another processor does the same first, this one stands still and the call doesn't return.
void stop_others_for_ever();

}  // namespace graft::arch
