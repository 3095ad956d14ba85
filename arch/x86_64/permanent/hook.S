// The return hook: a hooked function returns here instead of to its caller. See arch/x86_64/return_hook.h.
//
// At the first instruction the return address is in no memory of the task's: the processor's mirror of the hook record
// holds it. From the second on it lies where a call would have put it, and this is an ordinary frame. Everything that a
// return may carry is kept: rax, rdx, flags here, SSE and x87 registers because nothing below uses them.

#include "arch/x86_64/offsets.h"
#include "arch/x86_64/permanent/frame_macros.inc"

    .macro push_word operand:vararg
    pushq \operand
    .cfi_adjust_cfa_offset 8
    .endm

    .section .text.permanent, "ax", @progbits

    .balign 16
    .globl graft_return_hook
    .globl graft_return_hook_end
    .type graft_return_hook, @function
graft_return_hook:
    .cfi_startproc simple
    .cfi_def_cfa rsp, 0
    .cfi_undefined rip
    pushq %gs:GRAFT_PERCPU_HOOK_ORIGINAL
    .cfi_def_cfa_offset 8
    .cfi_offset rip, -8
    pushfq
    .cfi_adjust_cfa_offset 8
    cli
    // An InterruptFrame of the moment after the return. R = the stack pointer then; the original lies at R - 8, the flags
    // at R - 16, and R is 16-aligned, so the call below finds the stack aligned.
    push_word $GRAFT_DATA_SELECTOR
    push_word %rsp
    addq $24, (%rsp)
    push_word 16(%rsp)
    push_word $GRAFT_CODE_SELECTOR
    push_word 40(%rsp)
    push_word $0
    push_word $GRAFT_VECTOR_RETURN_HOOK
    save rax
    save rbx
    save rcx
    save rdx
    save rsi
    save rdi
    save rbp
    save r8
    save r9
    save r10
    save r11
    save r12
    save r13
    save r14
    save r15
    cld
    movq %rsp, %rdi
    call graft_handle_hook
    restore r15
    restore r14
    restore r13
    restore r12
    restore r11
    restore r10
    restore r9
    restore r8
    restore rbp
    restore rdi
    restore rsi
    restore rdx
    restore rcx
    restore rbx
    restore rax
    addq $56, %rsp
    .cfi_adjust_cfa_offset -56
    popfq
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size graft_return_hook, . - graft_return_hook
graft_return_hook_end:

    .section .note.GNU-stack, "", @progbits
