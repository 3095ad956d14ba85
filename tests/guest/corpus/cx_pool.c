#include "tests/guest/corpus/cx_pool.h"

#include <stddef.h>

#include "tests/guest/corpus/probes.h"

static struct cx_block memory[CX_POOL_BLOCKS];
static struct cx_block* free_blocks;
static int used;
static int assertions;
static int last_line;

void cx_assert_failed(const char* text, int line, const char* file) {
    (void)text;
    (void)file;
    ++assertions;
    last_line = line;
}

void cx_pool_init(void) {
    struct cx_block* block = memory;
    struct cx_block* end = memory + CX_POOL_BLOCKS;
    for (; block != end; ++block) {
        block->tag = 7;
        block->next = free_blocks;
        free_blocks = block;
    }
}

__attribute__((noinline)) struct cx_block* cx_pool_take(unsigned owner) {
    struct cx_block* block = free_blocks;
    if (block == NULL) return NULL;
    free_blocks = block->next;
    block->owner = owner;
    ++used;
    return block;
}

__attribute__((noinline)) void cx_pool_give(struct cx_block* block) {
    CX_ASSERT("a block of the pool", block >= memory && block < memory + CX_POOL_BLOCKS);
    block->next = free_blocks;
    free_blocks = block;
    --used;
}

int cx_pool_used(void) {
    return used;
}

/* Blocks until the pool is empty, and all of them back. */
long probe_pool_blocks(void) {
    struct cx_block* taken[2 * CX_POOL_BLOCKS];
    int count = 0;
    while (count < 2 * CX_POOL_BLOCKS) {
        struct cx_block* block = cx_pool_take(9);
        if (block == NULL) break;
        taken[count++] = block;
    }
    for (int i = 0; i < count; ++i) cx_pool_give(taken[i]);
    return count * 10 + cx_pool_used();
}

/* The sum of what the blocks carry. */
long probe_pool_tags(void) {
    long sum = 0;
    for (const struct cx_block* block = memory; block != memory + CX_POOL_BLOCKS; ++block)
        sum += block->tag + block->data[0];
    return sum;
}

/* A failed assertion's own line, seen from the line above it. */
long probe_assert_line(void) {
    int here = __LINE__;
    CX_ASSERT("never true", assertions < 0);
    return last_line - here;
}
