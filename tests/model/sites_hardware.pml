/* Call sites written on running processors: the breakpoint protocol of arch/x86_64/pure/poke_plan.h, on a processor that
 * caches text.
 *
 * A batch of two sites goes from old to new bytes (NOP to jump, jump to another jump, jump to NOP: only "old" and "new"
 * matter). A site is two parts: the first byte and the tail of four. A processor sees each part as it saw it last: it may
 * look again at any time, part by part and site by site, and has looked again when it has synchronised. The breakpoint
 * handler goes to the site's current target, which the writer publishes before the first byte is written.
 *
 * Properties, as assertions of a call:
 *   definite   it fetches the whole old or the whole new instruction, or a breakpoint; never a mixture
 *   done       once the protocol has ended, it fetches the new instruction, and no breakpoint
 */
#define OLD 0
#define NEW 1
#define BREAK 2
#define SITES 2
#define PROCESSORS 2

byte first[SITES];                  /* OLD, NEW or BREAK */
byte tail[SITES];                   /* OLD or NEW */
byte target[SITES];                 /* what the breakpoint handler goes to */
byte seen_first[4];                 /* by processor p of site s: p * SITES + s */
byte seen_tail[4];
bit ended;

inline synchronise() {
    d_step { seen_first[0] = first[0]; seen_first[1] = first[1]; seen_tail[0] = tail[0]; seen_tail[1] = tail[1] };
    d_step { seen_first[2] = first[0]; seen_first[3] = first[1]; seen_tail[2] = tail[0]; seen_tail[3] = tail[1] }
}

inline look_at_first(s) { seen_first[p * SITES + s] = first[s] }
inline look_at_tail(s) { seen_tail[p * SITES + s] = tail[s] }
inline call(s) {
    assert(seen_first[p * SITES + s] == BREAK || seen_first[p * SITES + s] == seen_tail[p * SITES + s]);  /* definite */
    assert(!ended || seen_first[p * SITES + s] == NEW)                   /* done */
}

proctype Processor(byte p) {
    do
    :: d_step { look_at_first(0) }
    :: d_step { look_at_first(1) }
    :: d_step { look_at_tail(0) }
    :: d_step { look_at_tail(1) }
    :: atomic { call(0) }
    :: atomic { call(1) }
    od
}

proctype Writer() {
    do
    :: d_step { target[0] = NEW; target[1] = NEW };
#ifndef NO_BREAKPOINTS
        first[0] = BREAK; first[1] = BREAK;
#ifndef NO_SYNC_AFTER_BREAKPOINTS
        synchronise();
#endif
#endif
        tail[0] = NEW; tail[1] = NEW;
#ifndef NO_SYNC_AFTER_TAILS
        synchronise();
#endif
        first[0] = NEW; first[1] = NEW;
#ifndef NO_SYNC_AT_END
        synchronise();
#endif
        ended = 1;
        /* The next batch: what was new is old. */
        d_step {
            ended = 0;
            first[0] = OLD; first[1] = OLD; tail[0] = OLD; tail[1] = OLD; target[0] = OLD; target[1] = OLD;
            seen_first[0] = OLD; seen_first[1] = OLD; seen_first[2] = OLD; seen_first[3] = OLD;
            seen_tail[0] = OLD; seen_tail[1] = OLD; seen_tail[2] = OLD; seen_tail[3] = OLD
        }
    od
}

init { atomic { run Processor(0); run Processor(1); run Writer() } }
