// The section that holds the image's tables: empty for the first link, the bytes that imagetables wrote for the second.
    .section .graft_tables, "a", @progbits
    .balign 16
#ifdef GRAFT_TABLES
    .incbin GRAFT_TABLES
#endif
    .section .note.GNU-stack, "", @progbits
