// PerCpu: a processor's own block, found through the GS base, with the fields that assembly and generated code use at
// fixed offsets. The kernel has no user mode, so the GS base always points here and is never swapped.
//
// `context`, `patch_state` and `hook_original` mirror the running task's Context. They are written only by this
// processor with interrupts off: by the context switch and by permanent code that moves or hooks the running task.
#pragma once

#include <cstddef>

#include "arch/x86_64/context.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr u32 kMaxProcessors = 64;

struct PerCpu {
    PerCpu* self;       // read by this_cpu()
    Context* context;   // of the task that runs here
    u64 hook_original;  // Context::hook.original of that task: pushed by the return hook's first instruction
    u64 scratch;        // for entry assembly
    u8 patch_state;     // Context::patch_state of that task: compared by trampolines
    u8 reserved[3];
    u32 index;  // 0 .. processor count - 1; 0 is the boot processor
    u32 apic_id;
    u32 nesting;   // depth of interrupt and exception handlers; maskable interrupts never nest
    void* kernel;  // the kernel's own per-processor data (kernel/processor.h)
};

inline constexpr u32 kPerCpuSelf = GRAFT_PERCPU_SELF;
inline constexpr u32 kPerCpuContext = GRAFT_PERCPU_CONTEXT;
inline constexpr u32 kPerCpuHookOriginal = GRAFT_PERCPU_HOOK_ORIGINAL;
inline constexpr u32 kPerCpuScratch = GRAFT_PERCPU_SCRATCH;
inline constexpr u32 kPerCpuPatchState = GRAFT_PERCPU_PATCH_STATE;
static_assert(offsetof(PerCpu, self) == kPerCpuSelf);
static_assert(offsetof(PerCpu, context) == kPerCpuContext);
static_assert(offsetof(PerCpu, hook_original) == kPerCpuHookOriginal);
static_assert(offsetof(PerCpu, scratch) == kPerCpuScratch);
static_assert(offsetof(PerCpu, patch_state) == kPerCpuPatchState);

// Context: the caller must not be moved to another processor while it uses the result (interrupts or preemption off).
[[gnu::always_inline]] inline PerCpu& this_cpu() {
    PerCpu* self;
    asm volatile("movq %%gs:0, %0" : "=r"(self));
    return *self;
}

}  // namespace graft::arch
