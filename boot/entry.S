// The image's two ways in, multiboot2 and PVH: both arrive in 32-bit protected mode without paging. From there to long mode,
// the upper half, and boot/start.cpp.
//
// What lies in .boot and .boot.bss is linked at its physical address and used only until the final page tables are loaded.

#include "arch/x86_64/offsets.h"

    .set kImageOffset, 0xffffffff80000000
    .set kPvhMagic, 0x336ec578              // boot/parse_pvh.h
    .set kXenPhys32Entry, 18                // XEN_ELFNOTE_PHYS32_ENTRY, xen/public/elfnote.h
    .set kTableRights, 0x3                  // present, writable
    .set kLargePage, 0x83
    .set kPageTables, 4                     // 1 GiB each

// ---- multiboot2 header [mb2 §3.1] ----

    .section .multiboot2, "a", @progbits
    .balign 8
header:
    .long 0xe85250d6
    .long 0                                 // i386, protected mode
    .long header_end - header
    .long -(0xe85250d6 + 0 + (header_end - header))
    // modules start on pages [mb2 §3.1.12]
    .balign 8
    .short 6, 0
    .long 8
    // end
    .balign 8
    .short 0, 0
    .long 8
header_end:

// ---- PVH note: the physical address of the entry ----

    .section .note.Xen, "a", @note
    .balign 4
    .long 4
    .long 4
    .long kXenPhys32Entry
    .asciz "Xen"
    .balign 4
    .long graft_start_pvh

// ---- 32-bit start ----

    .section .boot.text, "ax", @progbits
    .code32
    .globl graft_start_multiboot2
    .globl graft_start_pvh
    .type graft_start_multiboot2, @function
graft_start_multiboot2:
    movl %eax, %edi                         // the loader's magic
    movl %ebx, %esi                         // its structure
    jmp start
    .type graft_start_pvh, @function
graft_start_pvh:
    movl $kPvhMagic, %edi
    movl %ebx, %esi
    .type start, @function
start:
    cli
    cld
    // Long mode and no-execute pages must be there [intel/vol2 CPUID].
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb unsuitable
    movl $0x80000001, %eax
    cpuid
    andl $0x20100000, %edx
    cmpl $0x20100000, %edx
    jne unsuitable

    // The first 4 GiB at three places: at 0, in the direct map, and (1 GiB of them) where the image is linked.
    movl $early_directories, %ebx
    movl $kLargePage, %eax
    xorl %ecx, %ecx
1:  movl %eax, (%ebx,%ecx,8)
    movl $0, 4(%ebx,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512 * kPageTables, %ecx
    jne 1b
    movl $early_directories + kTableRights, %eax
    movl $early_low, %ebx
    movl %eax, (%ebx)
    addl $4096, %eax
    movl %eax, 8(%ebx)
    addl $4096, %eax
    movl %eax, 16(%ebx)
    addl $4096, %eax
    movl %eax, 24(%ebx)
    movl $early_directories + kTableRights, early_high + 510 * 8
    movl $early_low + kTableRights, early_top
    movl $early_low + kTableRights, early_top + 256 * 8
    movl $early_high + kTableRights, early_top + 511 * 8

    movl %cr4, %eax
    orl $0x20, %eax                         // PAE
    movl %eax, %cr4
    movl $early_top, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx                  // EFER: long mode, no-execute
    rdmsr
    orl $0x900, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax                   // paging, write protection, protection
    movl %eax, %cr0
    lgdtl early_gdt_pointer
    ljmpl $GRAFT_CODE_SELECTOR, $start64

// Says so on the first serial port, and stops.
    .type unsuitable, @function
unsuitable:
    movl $message, %esi
    movw $0x3f8, %dx
1:  lodsb
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  cli
    hlt
    jmp 2b

    .code64
    .type start64, @function
start64:
    movl $GRAFT_DATA_SELECTOR, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movabsq $graft_start64, %rax
    jmp *%rax

    .section .boot.rodata, "a", @progbits
message:
    .asciz "graft: this processor has no 64-bit mode with no-execute pages\r\n"
    .balign 8
early_gdt:
    .quad 0
    .quad 0x00af9b000000ffff                // GRAFT_CODE_SELECTOR
    .quad 0x00cf93000000ffff                // GRAFT_DATA_SELECTOR
early_gdt_pointer:
    .word . - early_gdt - 1
    .long early_gdt

    .section .boot.bss, "aw", @nobits
    .balign 4096
early_top:
    .skip 4096
early_low:
    .skip 4096
early_high:
    .skip 4096
early_directories:
    .skip 4096 * kPageTables

// ---- 64-bit start, in the upper half ----

    .section .text.graft_start64, "ax", @progbits
    .balign 16
    .globl graft_start64
    .type graft_start64, @function
graft_start64:
    .cfi_startproc
    .cfi_undefined rip
    .cfi_def_cfa rsp, 0
    movq $graft_boot_stack_end, %rsp
    xorl %ebp, %ebp
    // edi and esi, zero-extended, are graft_boot()'s arguments.
    movl %edi, %edi
    movl %esi, %esi
    call graft_boot
    ud2
    .cfi_endproc
    .size graft_start64, . - graft_start64

    .section .bss.graft_boot_stack, "aw", @nobits
    .balign 4096
    .globl graft_boot_stack
    .type graft_boot_stack, @object
graft_boot_stack:
    .skip 32768
    .size graft_boot_stack, . - graft_boot_stack
    .globl graft_boot_stack_end
graft_boot_stack_end:

    .section .note.GNU-stack, "", @progbits
