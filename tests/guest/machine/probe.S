// Accesses whose faults are expected. Each returns 0 when it went through; when it faults, the handler sends it to its
// recovery, which returns the page fault's error code that the handler left in rax.

    .macro probe name
    .balign 16
    .globl \name
    .globl \name\()_at
    .globl \name\()_recovery
    .type \name, @function
\name:
    .cfi_startproc
    xorl %eax, %eax
    .endm

    .macro end_probe name
\name\()_recovery:
    ret
    .cfi_endproc
    .size \name, . - \name
    .endm

    .text
    probe probe_write
probe_write_at:
    movb $0x90, (%rdi)
    end_probe probe_write

    probe probe_read
probe_read_at:
    movb (%rdi), %cl
    end_probe probe_read

// Jumps there: a fault's rip is the target, and the return address is still on the stack.
    .balign 16
    .globl probe_execute
    .type probe_execute, @function
probe_execute:
    .cfi_startproc
    xorl %eax, %eax
    jmp *%rdi
    .cfi_endproc
    .size probe_execute, . - probe_execute

// u64 hooked_leaf(u64* frame_slot, void (*install)(u64 slot)): returns known values in rax, rdx and xmm0, after `install`
// has hooked this frame's return address.
    .balign 16
    .globl hooked_leaf
    .type hooked_leaf, @function
hooked_leaf:
    .cfi_startproc
    leaq (%rsp), %rdi
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call *%rsi
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    movabsq $0x1122334455667788, %rax
    movabsq $0x99aabbccddeeff00, %rdx
    movq %rax, %xmm0
    movq %rdx, %xmm1
    punpcklqdq %xmm1, %xmm0
    stc
    ret
    .cfi_endproc
    .size hooked_leaf, . - hooked_leaf

// void call_hooked_leaf(Returned* out, void (*install)(u64 slot)): everything that a return may carry, as it arrives.
    .balign 16
    .globl call_hooked_leaf
    .type call_hooked_leaf, @function
call_hooked_leaf:
    .cfi_startproc
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset rbx, 0
    movq %rdi, %rbx
    call hooked_leaf
    setc 32(%rbx)
    movq %rax, (%rbx)
    movq %rdx, 8(%rbx)
    movdqu %xmm0, 16(%rbx)
    popq %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore rbx
    ret
    .cfi_endproc
    .size call_hooked_leaf, . - call_hooked_leaf

    .section .note.GNU-stack, "", @progbits
