// The clock: nanoseconds since init_clock(), from the time stamp counter. Monotonic on a processor, and across
// processors as far as their counters are synchronised (every machine that Graft supports has an invariant TSC).
#pragma once

#include "base/types.h"

namespace graft::arch {

// Learns the counter's frequency: from CPUID [intel/vol2 "CPUID" leaf 15H], the hypervisor's leaf 0x40000010, or by
// measuring 10 ms of the 8254. Context: boot processor, once, interrupts off.
void init_clock();

// Context: any, before init_clock() it returns 0.
[[nodiscard]] u64 now_ns();

[[nodiscard]] u64 tsc_frequency_hz();

// Waits by looking at the clock. For device start-up only: microseconds, not milliseconds, with interrupts off.
void busy_wait_ns(u64 duration_ns);

}  // namespace graft::arch
