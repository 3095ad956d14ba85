// Numbers that assembly and C++ share: where fields lie in Context, ReturnHook and PerCpu, and the segment selectors.
// Each is checked against the structure by a static_assert beside it.
#pragma once

#define GRAFT_CONTEXT_RSP 0
#define GRAFT_CONTEXT_FPU 8
#define GRAFT_CONTEXT_HOOK_SLOT 16
#define GRAFT_CONTEXT_HOOK_ORIGINAL 24
#define GRAFT_CONTEXT_PATCH_STATE 32

#define GRAFT_PERCPU_SELF 0
#define GRAFT_PERCPU_CONTEXT 8
#define GRAFT_PERCPU_HOOK_ORIGINAL 16
#define GRAFT_PERCPU_SCRATCH 24
#define GRAFT_PERCPU_PATCH_STATE 32

#define GRAFT_TASK_ENTRY_FRAME_OFFSET 16
#define GRAFT_VECTOR_RETURN_HOOK 0x100

#define GRAFT_CODE_SELECTOR 0x08
#define GRAFT_DATA_SELECTOR 0x10
#define GRAFT_TSS_SELECTOR 0x18
