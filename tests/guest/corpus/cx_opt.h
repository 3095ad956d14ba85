/* Options of the C part, in the style of a small network stack's. */
#ifndef CX_OPT_H
#define CX_OPT_H

#define CX_POOL_BLOCKS 4
#define CX_BLOCK_BYTES 24
#define CX_TTL 64
#define CX_RETRIES 3
#define CX_WITH_STATS 1
#define CX_UNUSED_LIMIT 100

/* What the original of this header is for: a failed assertion says where. */
void cx_assert_failed(const char* text, int line, const char* file);

#define CX_ASSERT(text, condition)                        \
    do {                                                  \
        if (!(condition)) {                               \
            cx_assert_failed((text), __LINE__, __FILE__); \
        }                                                 \
    } while (0)

#endif
