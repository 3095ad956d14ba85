// The kernel's own start, as the composition root calls it, in this order. Each step says what it needs.
#pragma once

#include <span>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/percpu.h"
#include "kernel/pure/command_line.h"

namespace graft::kernel {

// 1. Memory, code map, call sites, stacks. After arch::init_boot_processor() and init_paging(); interrupts off.
//    `usable` as for init_memory(). Adopts the boot processor first. Static constructors run here.
void start_memory(std::span<const arch::PhysRange> usable);

// 2. What of the command line is the kernel's: log, panic.
void apply_command_line(const CommandLine& arguments);

// 3. The kernel's own tasks: reaper, timers, deferred work. After the clock and the local APIC's timer are calibrated.
void start_tasks();

// 4. Starts other processors up to `limit` in all; each enters the scheduler. Returns how many run then, this one
// included.
//    `apic_ids`: of the others. After arch::init_smp().
u32 start_processors(std::span<const u32> apic_ids, u32 limit);

// 5. enter_scheduler() (kernel/scheduler.h) on the boot processor ends the start.

}  // namespace graft::kernel
