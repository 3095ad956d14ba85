// What calls cost, in instructions: read from the time stamp counter, which counts them when QEMU runs one processor
// with
// `-icount shift=0`.
#pragma once

#include "base/types.h"

namespace graft::bench {

inline constexpr u64 kCallsPerRound = 64;  // written out one after the other

// True when the counter goes up by one an instruction.
bool counter_counts_instructions();

// Hundredths of an instruction that a call of target() takes, `call` and the loop's share included, over `rounds`
// rounds. The second one calls it past its call site, as if it had none. Context: task; interrupts are off meanwhile.
u64 target_call_hundredths(u64 rounds);
u64 past_site_call_hundredths(u64 rounds);

}  // namespace graft::bench
