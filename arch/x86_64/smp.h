// Starting the other processors: INIT and two start-up messages [intel/vol3 §8.4.4], a 16-bit page below 1 MiB, then
// C++ on a given stack.
#pragma once

#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

enum class StartFailure : u8 {
    too_many,    // kMaxProcessors run already
    no_memory,   // for the processor's block and stacks
    no_answer,   // it didn't come up within kStartTimeoutNs
    unsuitable,  // its APIC id can't be addressed, or there is no page below 1 MiB
};

inline constexpr u64 kStartTimeoutNs = 2'000'000'000;

// Reserves the page below 1 MiB; the caller has kept it out of every allocator.
// Context: boot processor, once, after init_paging().
void init_smp(PhysAddr low_page);

// First code of a started processor: interrupts off, its PerCpu block, segments, interrupt table, page tables and local
// APIC in place. Never returns.
using ProcessorEntry = void (*)(PerCpu& cpu, void* argument);

// Starts one processor and waits until it has arrived in `entry` (or not, at all: after no_answer it is never touched
// again). Its index is the former processor_count().
// `stack_top`: 16-byte aligned; belongs to the processor from now on (its idle task's stack, as a rule).
// Context: boot processor, task or boot, interrupts on or off; the clock must run.
[[nodiscard]] Result<u32, StartFailure> start_processor(u32 apic_id, VirtAddr stack_top, ProcessorEntry entry,
                                                        void* argument, PageSource& source);

}  // namespace graft::arch
