# Assembly: long corpus_sum(long left, long right).
    .section .text.corpus_sum, "ax", @progbits
    .globl corpus_sum
    .type corpus_sum, @function
    .p2align 4
corpus_sum:
    .cfi_startproc
    leaq (%rdi, %rsi), %rax
    ret
    .cfi_endproc
    .size corpus_sum, . - corpus_sum
