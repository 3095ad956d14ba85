/* The start of the small image that the pairs are linked into: it names what runs first. */
    .section .boot, "ax"
    .globl graft_start_multiboot2
    .type graft_start_multiboot2, @function
graft_start_multiboot2:
    hlt
    .quad pairs_start
    .size graft_start_multiboot2, . - graft_start_multiboot2

    .section .text.permanent, "ax"
    .globl pairs_permanent
    .type pairs_permanent, @function
pairs_permanent:
    .cfi_startproc
    ret
    .cfi_endproc
    .size pairs_permanent, . - pairs_permanent
