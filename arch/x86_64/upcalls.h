// Upcalls: the only functions above arch/ that permanent code and entry assembly call. They are ordinary, patchable
// code; the no-patch closure is cut here. The kernel defines them.
//
// None of them writes a patch state: they return a verdict, and permanent code writes it after their last frame has
// gone (else a task would be moved in the middle of patchable code that the very transition may be changing).
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "base/types.h"

namespace graft::arch {

// What patchable code wants done at the exit of an interrupt, by permanent code.
inline constexpr u32 kExitMove = 1;  // the interrupted task is clear: write the transition's target as its patch state
inline constexpr u32 kExitPreempt = 2;  // call graft_upcall_preempt() before returning to the task
inline constexpr u32 kExitStop = 4;     // call graft_upcall_stop_task(): the task goes on no more

// Why permanent code moved a task: graft_upcall_moved()'s argument, equal to patch::MoveCause.
inline constexpr u32 kMovedByInterrupt = 1;
inline constexpr u32 kMovedByHook = 2;
inline constexpr u32 kMovedByBirth = 3;

}  // namespace graft::arch

extern "C" {

// The patch state that a moved task gets: the running transition's target. Written by the kernel only while no
// processor is inside a verdict (it synchronises all of them after the write); read by permanent code.
extern graft::u8 graft_target_state;

// A maskable interrupt or an exception without an entry of its own. Interrupts off. Returns kExit* flags.
graft::u32 graft_upcall_interrupt(graft::arch::InterruptFrame* frame);

// After the state was written (by an interrupt's exit or a hook): tells the kernel, which may wake the patch worker.
// `cause` is a patch::MoveCause. Interrupts off.
void graft_upcall_moved(graft::u32 cause);

// Gives the processor to another task. Interrupts off, on the interrupted task's stack; returns when it runs again.
void graft_upcall_preempt();

// Ends the interrupted task, which has faulted. Interrupts off, on its stack, whose frames stay as they are until then.
[[noreturn]] void graft_upcall_stop_task(graft::arch::InterruptFrame* frame);

// The return hook fired in the running task, whose frame that was hooked has returned; `rsp` is the stack pointer as it
// is after that return, `rbp…` as then. Returns kExitMove or 0. Interrupts off.
graft::u32 graft_upcall_hook_fired(graft::arch::InterruptFrame* frame);

// First code of a new task, interrupts off, after its patch state was settled. Never returns.
[[noreturn]] void graft_upcall_task_start(void* argument);

// A new task is about to run for the first time: may it take the target of the running transition? Returns kExitMove or
// 0.
graft::u32 graft_upcall_birth();

// A processor hasn't answered a round of synchronise_processors() for `waited_ns`; `frame` is where an NMI found it, or
// null if not even that was answered. Only to be reported: the caller waits on. Called with the interrupt flag as it
// was.
void graft_upcall_processor_silent(graft::u32 index, graft::u64 waited_ns, const graft::arch::InterruptFrame* frame);

// Fatal: reason and registers. The one-way entry to panic; never returns.
[[noreturn]] void graft_upcall_fatal(graft::arch::InterruptFrame* frame, const char* reason);

}  // extern "C"
