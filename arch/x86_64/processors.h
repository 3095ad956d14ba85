// The processors: the block of each, how it gets one, and how it is found.
//
// Locking: blocks are made by the boot processor before the processor that owns them runs, and never freed; the count
// only grows, while processors start.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "base/types.h"

namespace graft::arch {

// Gives the boot processor its block (index 0), segments, GS base, and SSE; loads the interrupt table. From here on
// this_cpu() works. Context: boot processor, once, interrupts off, after init_interrupt_table().
void init_boot_processor();

// Processors that run, the boot processor included; indices are 0 … count - 1.
[[nodiscard]] u32 processor_count();
// `index` < processor_count().
[[nodiscard]] PerCpu& processor(u32 index);

// The stacks that this processor changes to for #DF, NMI and #MC, by IST entry (1 … kIstCount).
[[nodiscard]] AddressRange ist_stack(u32 index, u8 ist);

}  // namespace graft::arch
