// How another processor gets from its reset state to C++. graft_low_page_begin … _end is copied to a page below 1 MiB; the
// parameter block at its end is filled in by smp.cpp, and the offsets below are relative to the page.

#include "arch/x86_64/offsets.h"

    .section .rodata.graft_low_page, "a", @progbits
    .balign 16
    .globl graft_low_page_begin
    .globl graft_low_page_parameters
    .globl graft_low_page_end
graft_low_page_begin:
    .code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx
    lgdtl gdt_pointer - graft_low_page_begin
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl *(protected_pointer - graft_low_page_begin)

    .code32
protected_mode:
    movl $GRAFT_DATA_SELECTOR, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %cr4, %eax
    orl $0x20, %eax                 // PAE
    movl %eax, %cr4
    movl page_table - graft_low_page_begin(%ebx), %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx          // EFER: long mode, no-execute
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010000, %eax           // paging, write protection
    andl $0x9fffffff, %eax          // caches on
    movl %eax, %cr0
    ljmp *long_pointer - graft_low_page_begin(%ebx)

    .code64
long_mode:
    movl %ebx, %ebx
    movq stack - graft_low_page_begin(%rbx), %rsp
    movq argument - graft_low_page_begin(%rbx), %rdi
    movq entry - graft_low_page_begin(%rbx), %rax
    jmp *%rax

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff        // GRAFT_CODE_SELECTOR: 64-bit code
    .quad 0x00cf93000000ffff        // GRAFT_DATA_SELECTOR: flat data
    .quad 0x00cf9b000000ffff        // 32-bit code, for the step between
gdt_end:
    .balign 8
graft_low_page_parameters:          // struct LowPage of smp.cpp
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt - graft_low_page_begin
    .word 0
protected_pointer:
    .long protected_mode - graft_low_page_begin
    .word 0x18
    .word 0
long_pointer:
    .long long_mode - graft_low_page_begin
    .word GRAFT_CODE_SELECTOR
    .word 0
page_table:
    .quad 0
stack:
    .quad 0
argument:
    .quad 0
entry:
    .quad 0
graft_low_page_end:

    .section .text.graft_processor_entry, "ax", @progbits
    .balign 16
    .globl graft_processor_entry
    .type graft_processor_entry, @function
graft_processor_entry:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa rsp, 0
    xorl %ebp, %ebp
    call graft_processor_started
    ud2
    .cfi_endproc
    .size graft_processor_entry, . - graft_processor_entry

    .section .note.GNU-stack, "", @progbits
