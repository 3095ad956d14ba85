// Return hooks: the return address of one frame of a task is replaced by a permanent routine (permanent/hook.S), which
// asks graft_upcall_hook_fired() when that frame returns, and goes on where the frame would have.
//
// States of a hook, seen by whoever may inspect the task:
//   none       Context::hook.slot == 0
//   waiting    *slot == graft_return_hook
//   firing     slot != 0, *slot anything else: the frame has returned and the routine is on its way; the record belongs
//   to
//              the routine, which clears it. The walker knows the routine's frame; nobody takes such a hook off.
// A slot is at 8 modulo 16 (the ABI's alignment), so that an interrupt at the routine's first instruction overwrites
// it: a slot that still reads as the routine has not been popped.
//
// Locking: the lock that keeps the task from running, or its own processor with interrupts off.
#pragma once

#include "arch/x86_64/context.h"
#include "base/types.h"

extern "C" {
// The routine; the unwinder knows the frame at its first instruction. [graft_return_hook, graft_return_hook_end) is it.
extern const char graft_return_hook[];
extern const char graft_return_hook_end[];
// The frame at which every task's walk ends.
extern const char graft_task_entry[];
extern const char graft_task_entry_end[];
}

namespace graft::arch {

// Replaces the return address in `slot`. `running_here`: the task runs on this processor (its interrupted frame is
// being inspected), so the processor's mirror is written too. False when the task has a hook already or the slot isn't
// aligned as the ABI has it: then nothing was changed.
[[nodiscard]] bool install_return_hook(Context& context, VirtAddr slot, bool running_here);

// Puts the original back if the hook is waiting. False when it is firing: it will clear itself. True when none is left.
bool take_off_return_hook(Context& context, bool running_here);

}  // namespace graft::arch
