// The first frame of every task, at which a walk ends. prepare_context() makes the first switch return to
// graft_task_first with the task's argument in r12.

#include "arch/x86_64/offsets.h"

    .section .text.permanent, "ax", @progbits

    .balign 16
    .globl graft_task_entry
    .globl graft_task_first
    .globl graft_task_entry_end
    .type graft_task_entry, @function
graft_task_entry:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa rsp, GRAFT_TASK_ENTRY_FRAME_OFFSET
    // Never executed: a task that hasn't run yet seems to return from this call, so its walk needs no case of its own.
    call graft_task_begin
graft_task_first:
    xorl %ebp, %ebp
    movq %r12, %rdi
    call graft_task_begin
    ud2
    .cfi_endproc
    .size graft_task_entry, . - graft_task_entry
graft_task_entry_end:

    .section .note.GNU-stack, "", @progbits
