/* Call sites written on running processors, as an emulator that translates code sees it (QEMU's TCG with a thread a
 * processor).
 *
 * A processor runs translated blocks. It translates in steps: reads the site's first byte, reads its tail, links the
 * block; only then do stores know of it. A store into a page with linked blocks drops them, unless the writer's TLB entry
 * says that the page holds no code: then it is a store like any other. Linking takes that mark off every TLB entry; but
 * a store that has just dropped the last block puts the mark on afterwards, perhaps after another block was linked. A
 * processor answers a synchronisation between blocks, so never in the middle of a translation.
 *
 * Two sites lie in one page. Steps as in sites_hardware.pml, and two more: the writer's TLB entry is flushed and the
 * first bytes are written again.
 *
 * Properties, as assertions of a call:
 *   definite   its block is the whole old or the whole new instruction, or a breakpoint; never a mixture
 *   done       once the protocol has ended, its block is the new instruction: nobody stays with stale code
 */
#define OLD 0
#define NEW 1
#define BREAK 2
#define NONE 3
#define SITES 2

byte first[SITES];
byte tail[SITES];
byte block_first[4] = NONE;         /* linked blocks, by processor p of site s: p * SITES + s; NONE: there is none */
byte block_tail[4];
byte reading[2] = NONE;             /* the site that processor p translates */
byte read_first[2], read_tail[2];
byte steps[2];
bit marked = 1;                     /* the writer's TLB entry says "no code in this page" */
bit ended;

#define HAS_CODE (block_first[0] != NONE || block_first[1] != NONE || block_first[2] != NONE || block_first[3] != NONE)

inline call(s) {
    assert(block_first[p * SITES + s] == BREAK || block_first[p * SITES + s] == block_tail[p * SITES + s]);  /* definite */
    assert(!ended || block_first[p * SITES + s] == NEW)                  /* done */
}

/* A processor without a block for site `s` begins to translate; one with a block runs it. */
#define AT_SITE(s) \
    :: atomic { reading[p] == NONE && block_first[p * SITES + s] == NONE -> \
            reading[p] = s; read_first[p] = first[s]; steps[p] = 1 } \
    :: atomic { reading[p] == NONE && block_first[p * SITES + s] != NONE -> call(s) }

proctype Processor(byte p) {
    do
    AT_SITE(0)
    AT_SITE(1)
    :: atomic { steps[p] == 1 -> read_tail[p] = tail[reading[p]]; steps[p] = 2 }
    :: atomic { steps[p] == 2 ->
            block_first[p * SITES + reading[p]] = read_first[p];
            block_tail[p * SITES + reading[p]] = (read_first[p] == BREAK -> 0 : read_tail[p]);
            marked = 0;
            reading[p] = NONE; steps[p] = 0; read_first[p] = 0; read_tail[p] = 0 }
    od
}

inline synchronise() {
    reading[0] == NONE;
    reading[1] == NONE
}

/* The memory has been written: whoever has a block of the page loses it, if the store looks at all. */
inline drop_blocks() {
    if
    :: marked -> skip
    :: else ->
        d_step {
            block_first[0] = NONE; block_first[1] = NONE; block_first[2] = NONE; block_first[3] = NONE;
            block_tail[0] = 0; block_tail[1] = 0; block_tail[2] = 0; block_tail[3] = 0;
            none_left = 1
        };
        atomic { none_left = !HAS_CODE };
        atomic { if :: none_left -> marked = 1 :: else fi; none_left = 0 }
    fi
}

inline write_first(value) {
    first[0] = value;
    drop_blocks();
    first[1] = value;
    drop_blocks()
}

proctype Writer() {
    bit none_left;
    do
    :: write_first(BREAK);
#ifndef NO_SYNC_AFTER_BREAKPOINTS
        synchronise();
#endif
        tail[0] = NEW;
        drop_blocks();
        tail[1] = NEW;
        drop_blocks();
        synchronise();
        write_first(NEW);
        synchronise();
#ifndef NO_FLUSH
        atomic { marked = !HAS_CODE };
#endif
#ifndef NO_SECOND_WRITE
        write_first(NEW);
#endif
        synchronise();
        ended = 1;
        /* The next batch: what was new is old, also in blocks. */
        d_step {
            ended = 0;
            first[0] = OLD; first[1] = OLD; tail[0] = OLD; tail[1] = OLD;
            if :: block_first[0] != NONE -> block_first[0] = OLD :: else fi;
            if :: block_first[1] != NONE -> block_first[1] = OLD :: else fi;
            if :: block_first[2] != NONE -> block_first[2] = OLD :: else fi;
            if :: block_first[3] != NONE -> block_first[3] = OLD :: else fi;
            block_tail[0] = OLD; block_tail[1] = OLD; block_tail[2] = OLD; block_tail[3] = OLD;
            if :: reading[0] != NONE && steps[0] >= 1 -> read_first[0] = OLD; read_tail[0] = OLD :: else fi;
            if :: reading[1] != NONE && steps[1] >= 1 -> read_first[1] = OLD; read_tail[1] = OLD :: else fi
        }
    od
}

init { atomic { run Processor(0); run Processor(1); run Writer() } }
