#include "tests/guest/bench/calls.h"

#include "arch/x86_64/cpu.h"
#include "patch/machine.h"
#include "tests/guest/bench/changing.h"

namespace graft::bench {

namespace {

u64 ticks_of_empty_loop(u64 rounds) {
    arch::InterruptsOff off;
    u64 begin = arch::read_tsc();
    asm volatile("1: decq %0\n\tjnz 1b" : "+r"(rounds)::"cc");
    return arch::read_tsc() - begin;
}

using Function = u64 (*)();

// By address: one instruction like a direct call.
[[gnu::noinline]] u64 ticks_of_calls(Function function, u64 rounds) {
    arch::InterruptsOff off;
    u64 begin = arch::read_tsc();
    for (; rounds > 0; --rounds) {
#pragma GCC unroll 64
        for (u64 i = 0; i < kCallsPerRound; ++i) function();
    }
    return arch::read_tsc() - begin;
}

// The difference between two runs: what surrounds the loop drops out.
u64 hundredths(Function function, u64 rounds) {
    u64 once = ticks_of_calls(function, rounds);
    u64 twice = ticks_of_calls(function, 2 * rounds);
    return (twice - once) * 100 / (rounds * kCallsPerRound);
}

}  // namespace

bool counter_counts_instructions() {
    constexpr u64 kRounds = 10'000;
    constexpr u64 kInstructionsPerRound = 2;
    u64 once = ticks_of_empty_loop(kRounds);
    u64 twice = ticks_of_empty_loop(2 * kRounds);
    return twice - once == kRounds * kInstructionsPerRound;
}

u64 target_call_hundredths(u64 rounds) {
    return hundredths(target, rounds);
}
u64 past_site_call_hundredths(u64 rounds) {
    u64 entry = reinterpret_cast<u64>(&target);
    return hundredths(reinterpret_cast<Function>(entry + patch::kCallSiteSize), rounds);
}

}  // namespace graft::bench
