// Context: the part of a task that the machine knows: where its stack stands while it does not run, its patch state,
// its return hook and its SSE state. The kernel's Task embeds one as its first member.
//
// A context is saved by switch_context() only; its `rsp` is valid while the task does not run. `patch_state` and `hook`
// are written under the lock that keeps the task from running, or by the task's own processor with interrupts off.
#pragma once

#include <cstddef>

#include "arch/x86_64/offsets.h"
#include "arch/x86_64/pure/measured_return.h"
#include "base/types.h"

namespace graft::arch {

// One return hook a task. `slot` is the stack address that holds the hook routine's address, 0 when there is none.
struct ReturnHook {
    u64 slot = 0;
    u64 original = 0;
};

inline constexpr usize kFpuStateSize = 512;  // FXSAVE area [intel/vol1 §10.5.1]

struct Context {
    u64 rsp = 0;
    u8* fpu = nullptr;  // 16-byte aligned FXSAVE area, or null for a task that never uses SSE
    ReturnHook hook;
    u8 patch_state = 0;
    MeasuredReturns measured;  // pushed and popped by permanent/measure.cpp while the task runs, interrupts off
};

inline constexpr u32 kContextRsp = GRAFT_CONTEXT_RSP;
inline constexpr u32 kContextFpu = GRAFT_CONTEXT_FPU;
inline constexpr u32 kContextHookOriginal = GRAFT_CONTEXT_HOOK_ORIGINAL;
inline constexpr u32 kContextPatchState = GRAFT_CONTEXT_PATCH_STATE;
static_assert(offsetof(Context, rsp) == kContextRsp);
static_assert(offsetof(Context, fpu) == kContextFpu);
static_assert(offsetof(Context, hook) + offsetof(ReturnHook, slot) == GRAFT_CONTEXT_HOOK_SLOT);
static_assert(offsetof(Context, hook) + offsetof(ReturnHook, original) == kContextHookOriginal);
static_assert(offsetof(Context, patch_state) == kContextPatchState);

// The stack pointer while the entry frame `graft_task_entry` is the innermost, counted down from the stack's top: where
// a walk must end (StackSegments::top in pure/unwind.h).
inline constexpr u64 kTaskEntryFrameOffset = GRAFT_TASK_ENTRY_FRAME_OFFSET;

// Prepares a context whose first switch enters `graft_upcall_task_start(argument)` (arch/x86_64/upcalls.h) on the given
// stack with interrupts off, through the assembly entry frame `graft_task_entry`, which the unwinder knows as the end.
// `stack_top` is 16-byte aligned, with at least 256 bytes below it. Context: any; the context is nobody else's yet.
void prepare_context(Context& context, VirtAddr stack_top, void* argument);

// The state of SSE and x87 as a new task finds it, in an FXSAVE area: all exceptions masked, everything else empty.
void init_fpu_state(u8* area);

// Saves the running task in `from` and goes on in `to`; mirrors `to` into this processor's PerCpu; saves and restores
// SSE state of contexts that have it. Returns when somebody switches back. Context: interrupts off, run-queue lock held
// (the task that goes on releases it). Permanent code.
extern "C" void graft_switch_context(Context* from, Context* to);

// Where a switched-out task goes on, with Context::rsp as its stack pointer: the pc from which its walk starts.
extern "C" const char graft_switch_resume[];

}  // namespace graft::arch
