// Entry of every interrupt and exception, and the way back. Permanent code: no call site, never patched.
//
// The walk crosses these frames like any other. The frame address is the end of the five words that the processor pushed,
// at every instruction: rip lies at -40 and rsp at -16 from it, and each register is found where it is at that moment.

#include "arch/x86_64/offsets.h"
#include "arch/x86_64/permanent/frame_macros.inc"

    .macro interrupted_frame words
    .cfi_signal_frame
    .cfi_def_cfa rsp, \words * 8
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .endm

    .section .text.permanent, "ax", @progbits

// One stub a vector, kStubSize apart: makes the frames equal (an error code of 0 where the processor pushes none) and
// adds the vector. [intel/vol3 §6.13: which exceptions have error codes]
    .balign 16
    .globl graft_vector_stubs
    .type graft_vector_stubs, @function
graft_vector_stubs:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    .cfi_same_value \register
    .endr
    .set vector, 0
    .rept 256
    .balign 16, 0xcc
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .cfi_def_cfa rsp, 6 * 8
    .else
    .cfi_def_cfa rsp, 5 * 8
    pushq $0
    .cfi_adjust_cfa_offset 8
    .endif
    pushq $vector
    .cfi_adjust_cfa_offset 8
    jmp graft_interrupt_entry
    .set vector, vector + 1
    .endr
    .balign 16, 0xcc
    .cfi_endproc
    .size graft_vector_stubs, . - graft_vector_stubs

// The processor aligns the stack to 16 before it pushes; 22 words later it is aligned again, as the call needs it.
    .balign 16
    .globl graft_interrupt_entry
    .type graft_interrupt_entry, @function
graft_interrupt_entry:
    .cfi_startproc simple
    interrupted_frame 7
    .irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    .cfi_same_value \register
    .endr
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
    call graft_handle_interrupt
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
    addq $16, %rsp
    .cfi_adjust_cfa_offset -16
    iretq
    .cfi_endproc
    .size graft_interrupt_entry, . - graft_interrupt_entry

    .section .note.GNU-stack, "", @progbits
