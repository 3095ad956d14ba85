// Making processors ready: internal to arch/ (processors.cpp, smp.cpp).
#pragma once

#include "arch/x86_64/percpu.h"
#include "arch/x86_64/processors.h"
#include "base/types.h"

namespace graft::arch {

// A block for processor `index` with its exception stacks, not yet loaded; null when the source is empty.
[[nodiscard]] PerCpu* make_processor(u32 index, u32 apic_id, PageSource& source);

// On the processor itself: segments, task state, GS base, interrupt table, control registers, SSE.
// Context: interrupts off.
void load_processor(PerCpu& cpu);

}  // namespace graft::arch
