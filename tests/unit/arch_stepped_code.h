// What arch_stepping_test.cpp runs with the trap flag: functions of every shape, two tasks that switch to each other,
// an interrupt entry, and a return hook, all on stacks that the test owns.
#pragma once

#include "base/types.h"

extern "C" {

// Runs `main(argument)` on the stack that ends at `top` (16-aligned), with the trap flag set, and returns when it does.
void stepped_run(void (*main)(graft::u64), void* top, graft::u64 argument);
// A stack on which the first switch enters `main`, which never returns. Gives the stack pointer to switch to.
graft::u64 stepped_prepare(void* top, void (*main)(graft::u64));

extern const char stepped_task_entry[];
extern const char stepped_task_entry_end[];
extern const char stepped_interrupt[];
extern const char stepped_hook[];
extern const char stepped_hook_end[];
extern const char stepped_switch_resume[];

// The two tasks' mains. The first makes `rounds` rounds through everything and returns; the second never does.
void stepped_first(graft::u64 rounds);
void stepped_second(graft::u64);

// Saved stack pointers of tasks that don't run, by task.
extern graft::u64 stepped_saved_rsp[2];
extern graft::u64 stepped_current;
// The hook's record, and the word that the hook routine pushes.
extern graft::u64 stepped_hook_slot;
extern graft::u64 stepped_hook_original;
extern graft::u64 stepped_hooks_fired;
extern graft::u64 stepped_interrupts;
extern volatile bool stepped_interrupts_off;
// Called by the first task in each round; the test puts a trampoline there.
extern graft::u64 (*stepped_trampoline)(graft::u64);
graft::u64 stepped_version_zero(graft::u64);
graft::u64 stepped_version_one(graft::u64);

}  // extern "C"
