// Where measured calls begin and return. See arch/x86_64/measuring.h.

#include "arch/x86_64/permanent/frame_macros.inc"

#define INTERRUPTS_ON 0x200

    .macro save_scratch
    save rax
    save rcx
    save rdx
    save rsi
    save rdi
    save r8
    save r9
    save r10
    save r11
    .endm

    .macro restore_scratch
    restore r11
    restore r10
    restore r9
    restore r8
    restore rdi
    restore rsi
    restore rdx
    restore rcx
    restore rax
    .endm

    // Drops the saved flags; interrupts, if they were on, come on behind the next instruction.
    .macro leave_masked
    testl $INTERRUPTS_ON, (%rsp)
    leaq 8(%rsp), %rsp
    .cfi_adjust_cfa_offset -8
    jz 1f
    sti
1:
    .endm

#define SCRATCH_SIZE 72

    .section .text.permanent, "ax", @progbits

    // The stack is as the caller of the function left it. r11d: the index of the call site.
    .balign 16
    .globl graft_measure_entry
    .type graft_measure_entry, @function
graft_measure_entry:
    .cfi_startproc
    pushfq
    .cfi_adjust_cfa_offset 8
    cli
    save_scratch
    movl %r11d, %edi
    leaq SCRATCH_SIZE + 8(%rsp), %rsi
    call graft_measured_enter
    movq %rax, (%rsp)
    restore_scratch
    // Where r11 lay, a later frame may have a word that it doesn't write: the version would look referred to.
    movq $0, -SCRATCH_SIZE(%rsp)
    leave_masked
    jmp *%r11
    .cfi_endproc
    .size graft_measure_entry, . - graft_measure_entry

    // A measured function has returned here. Until the second instruction the return address has no place on the stack.
    .balign 16
    .globl graft_measure_return
    .globl graft_measure_return_end
    .type graft_measure_return, @function
graft_measure_return:
    .cfi_startproc simple
    .cfi_def_cfa rsp, 0
    .cfi_undefined rip
    leaq -8(%rsp), %rsp
    .cfi_def_cfa_offset 8
    .cfi_offset rip, -8
    pushfq
    .cfi_adjust_cfa_offset 8
    cli
    xorl %r11d, %r11d  // may still be the version: it isn't to be saved below a later frame
    save_scratch
    leaq SCRATCH_SIZE + 8(%rsp), %rdi
    call graft_measured_leave
    restore_scratch
    leave_masked
    ret
    .cfi_endproc
    .size graft_measure_return, . - graft_measure_return
graft_measure_return_end:

    .section .note.GNU-stack, "", @progbits
