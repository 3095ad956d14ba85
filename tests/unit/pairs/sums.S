/* Assembly before and after a diff. */
#ifdef AFTER
#define SUMMAND 2
#else
#define SUMMAND 1
#endif
    .text
    .globl pairs_sum
    .type pairs_sum, @function
pairs_sum:
    .cfi_startproc
    leaq SUMMAND(%rdi), %rax
    ret
    .cfi_endproc
    .size pairs_sum, . - pairs_sum
