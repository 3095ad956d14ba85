// void graft_switch_context(Context* from, Context* to): see arch/x86_64/context.h.
//
// The return address stays on the stack and nowhere else, so a return hook can be set in it while the task is switched out,
// and the frame information below is exact at every instruction: from the load of rsp on it describes the other stack, which
// has the same layout.

#include "arch/x86_64/offsets.h"
#include "arch/x86_64/permanent/frame_macros.inc"

    .section .text.permanent, "ax", @progbits

    .balign 16
    .globl graft_switch_context
    .globl graft_switch_resume
    .type graft_switch_context, @function
graft_switch_context:
    .cfi_startproc
    save rbp
    save rbx
    save r12
    save r13
    save r14
    save r15
    movq GRAFT_CONTEXT_FPU(%rdi), %rax
    testq %rax, %rax
    jz 1f
    fxsave64 (%rax)
1:  movq GRAFT_CONTEXT_FPU(%rsi), %rax
    testq %rax, %rax
    jz 2f
    fxrstor64 (%rax)
2:  movq %rsp, GRAFT_CONTEXT_RSP(%rdi)
    // The mirrors change with the stack: interrupts are off, and an NMI looks at neither.
    movq %rsi, %gs:GRAFT_PERCPU_CONTEXT
    movq GRAFT_CONTEXT_HOOK_ORIGINAL(%rsi), %rax
    movq %rax, %gs:GRAFT_PERCPU_HOOK_ORIGINAL
    movb GRAFT_CONTEXT_PATCH_STATE(%rsi), %al
    movb %al, %gs:GRAFT_PERCPU_PATCH_STATE
    movq GRAFT_CONTEXT_RSP(%rsi), %rsp
graft_switch_resume:
    restore r15
    restore r14
    restore r13
    restore r12
    restore rbx
    restore rbp
    ret
    .cfi_endproc
    .size graft_switch_context, . - graft_switch_context

    .section .note.GNU-stack, "", @progbits
