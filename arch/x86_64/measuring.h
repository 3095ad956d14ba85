// Measuring: calls of a canary's functions are counted and timed, in both universes. Nothing outside these functions
// costs more than before.
//
//     call site ──jmp──▶ gate ──jmp──▶ graft_measure_entry ──jmp──▶ version          … returns to graft_measure_return
//                        (its index    (chooses, counts, keeps the return                (accounts, goes on at the
//                        in r11)       address, puts its own there)                      kept address)
//
// A gate is eleven bytes of generated text, one for each call site of the image, made at boot and there for good. It
// chooses nothing; the routine chooses, with interrupts off, and the next interrupt finds the task in the version. So a
// task interrupted before that has not called yet: it may move, it holds nothing of any patch, and nothing has to be
// drained. A site that was measured when it was interrupted and isn't any more goes on at the site's current target.
//
// Both routines are permanent code and touch no vector register. At entry all registers and the stack but the return
// slot stay as they are (arguments in registers and memory, rax of variadic functions, r10); r11 and flags are free
// there. At return all registers are kept; flags aren't part of a return.
//
// The kept return addresses lie in the task's context, a stack of kMaxMeasuredDepth records, found by their slot:
//   recursion, interrupts   calls nest, so records do; handlers run on the interrupted task's stack and push theirs
//                           above. A slot that isn't below the newest record's (a handler on a stack of its own) isn't
//                           taken.
//   too deep                the call is counted and not timed (`untimed`); so is one without a context
//   the transition's hook   on top: hooking a measured frame keeps graft_measure_return as that hook's original, and
//                           the two fire one after the other. A call whose slot is hooked already isn't timed.
//   walks                   pure/unwind.h translates a slot that holds graft_measure_return by the record of that slot;
//                           at the return routine the record is the return address, whatever has been written there.
//                           Record before slot at entry, slot before record at return: right at every instruction.
//   a task's end            frames that never return end with the task's records
//   end of measuring        records name call site and generation, and point nowhere: frames that are still open return
//                           as ever, and account only while that very measuring runs
//   search for references   kept addresses are words of a live task, and cleared when they are done with
//
// Latency is from the choice to the return, in ticks of the time stamp counter: interrupts, preemption and sleep within
// it count; so do measured calls inside. A task that moved to a processor whose counter is behind counts as 0 at least.
// A call that doesn't return is counted when it begins and never timed.
#pragma once

#include <array>
#include <atomic>

#include "arch/x86_64/pure/latency.h"
#include "arch/x86_64/pure/measured_return.h"
#include "base/types.h"

extern "C" {
// Where gates lead: r11d holds the index of a call site. Everything until its first masked instruction can be resumed
// at any later time.
extern const char graft_measure_entry[];
// What measured functions return to. The unwinder knows [graft_measure_return, graft_measure_return_end).
extern const char graft_measure_return[];
extern const char graft_measure_return_end[];
}

namespace graft::arch {

struct MeasuredSide {
    std::atomic<u64> calls{0};    // begun
    std::atomic<u64> untimed{0};  // of these, the ones that no time is taken of
    std::atomic<u64> faults{0};
    LatencyHistogram latency;  // of those that have returned, in ticks
};

// Which of a measured function's two counts a call belongs to.
inline constexpr u8 kOldSide = 0;
inline constexpr u8 kNewSide = 1;

// What is done with the calls of one function. Made by the kernel, published in CallSite::measured, taken from there
// before it is freed; permanent code looks at it with interrupts off, so synchronise_processors() is enough between.
// By patch state: written only while no task is in that state, or where both mean the same.
struct MeasuredFunction {
    std::array<std::atomic<u64>, 2> version{};  // where the call goes
    std::array<std::atomic<u8>, 2> side{};      // as what it counts
    u32 generation = 0;                         // differs for each measuring of this function
    std::array<MeasuredSide, 2> sides{};        // by kOldSide, kNewSide
    MeasuredFunction* next_stopped = nullptr;   // the kernel's, when it isn't published any more
};

}  // namespace graft::arch
