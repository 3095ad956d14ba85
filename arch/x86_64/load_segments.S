// void graft_load_segments(): reloads every segment register from the descriptor table just loaded.

#include "arch/x86_64/offsets.h"

    .section .text.graft_load_segments, "ax", @progbits
    .balign 16
    .globl graft_load_segments
    .type graft_load_segments, @function
graft_load_segments:
    .cfi_startproc
    movl $GRAFT_DATA_SELECTOR, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    // CS is loaded by a far return only.
    pushq $GRAFT_CODE_SELECTOR
    .cfi_adjust_cfa_offset 8
    leaq 1f(%rip), %rax
    pushq %rax
    .cfi_adjust_cfa_offset 8
    lretq
    .cfi_adjust_cfa_offset -16
1:  ret
    .cfi_endproc
    .size graft_load_segments, . - graft_load_segments

    .section .note.GNU-stack, "", @progbits
