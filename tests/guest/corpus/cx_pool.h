/* A pool of blocks of one size. */
#ifndef CX_POOL_H
#define CX_POOL_H

#include "tests/guest/corpus/cx_opt.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef unsigned char cx_tag;

struct cx_block {
    struct cx_block* next;
    unsigned owner;
    cx_tag tag; /* padding follows */
    unsigned short flags;
    unsigned char data[CX_BLOCK_BYTES];
};

void cx_pool_init(void);
struct cx_block* cx_pool_take(unsigned owner);
void cx_pool_give(struct cx_block* block);
int cx_pool_used(void);

#ifdef __cplusplus
}
#endif

#endif
