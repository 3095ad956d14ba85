/* The way of tasks through transitions: func stacks, trampolines, hooks, reverse, replace, rollback and freeing.
 *
 * What is modelled. TASKS tasks call two functions, f and g, by themselves or both within one call of a held caller. Patch
 * P replaces f and g; patch S, of the same set, replaces f only, so that g goes back to the original in a replace. A
 * manager loads, unloads, replaces, rolls back and commits for ever, and turns each transition any number of times: nothing
 * counts, so what holds here holds for histories of any length.
 *   - Two processors. Each sees the text of a call site as it last saw it: a fetch may find the old target or the new
 *     one until the processor has synchronised. Any task may run on either, and may be preempted between any two steps,
 *     in a trampoline before and after it has read the patch state, too.
 *   - A task is examined in one step: it can't run meanwhile, or it is its own processor that looks. A move is one step.
 *   - The last task may end anywhere and be born again, in its creator's state.
 *   - A replacement may leave its function by a jump into a helper of the patch, whose frame is then all that is left.
 *
 * What is assumed of writing call sites: while it runs a call reaches the old target or the new one, and afterwards, on
 * every processor, the new one. sites_hardware.pml and sites_emulator.pml check that (properties `definite`, `done`).
 *
 * Properties, as assertions (the number is that of design rule "what must always hold"):
 *   universe   1   within one call of the held caller all calls are of one set of versions
 *   inside     3   follows from the others: whoever is stopped in a trampoline counts as inside
 *   freed      4   no step is made in freed patch text or a freed trampoline, and nothing leads there when it is freed
 *   forgotten      once the tasks were swept, who leaves the outermost changing function has moved
 *   settled        at completion every task is in the settled universe
 */
#ifndef TASKS
#define TASKS 3
#endif

#define OUT 0
#define CALLER 1
#define SITE 2
#define TRAMPOLINE 3
#define CHOSEN 4
#define BODY 5
#define HELPER 6
#define DEAD 7

#define TO_TRAMPOLINE 3

#define LAST (TASKS - 1)

/* Two tasks do everything. With a third one they share what there is to do, to keep the number of states in bounds: the
   first two call twice within the held caller, the last calls once, goes through a helper, ends and is born. */
#if TASKS == 2
#define CALLS_TWICE true
#define CALLS_ONCE true
#define HAS_HELPER true
#else
#define CALLS_TWICE (t != LAST)
#define CALLS_ONCE (t == LAST)
#define HAS_HELPER (t == LAST)
#endif

byte pc[TASKS];
byte version[TASKS];    /* CHOSEN, BODY, HELPER: 0 original, 1 P's, 2 S's */
bit function[TASKS];    /* from SITE on: 0 f, 1 g */
bit in_caller[TASKS];
byte calls_left[TASKS];
byte sets[TASKS];       /* sets of versions that this call of the caller may be seeing: 1 original, 2 P, 4 S */
bit hooked[TASKS];
bit state[TASKS];

byte site[2];           /* target of f's and g's call site: a version, or the trampoline */
byte view[4];           /* what processor p sees of function i's site: view[p * 2 + i] */
byte dispatch[4];       /* version for universe u and function i: dispatch[u * 2 + i] */
bit trampolines;        /* they exist */
bit loaded[3];          /* patch text exists */

bit moving, swept;
bit target, settled;
#ifdef HOOK_HAS_TARGET
bit hook_target[TASKS];
#endif

/* The set `c` has, for function `i`, this version; S leaves g to the original. */
#define VERSION(c, i) ((c == 2 && i == 1) -> 0 : c)
/* Sets of versions in which function `i` has version `v`. */
#define SETS(i, v) (i == 0 -> (1 << v) : (v == 1 -> 2 : 5))

inline enter(t, v) {
    version[t] = v;
    pc[t] = BODY;
    assert(v == 0 || loaded[v]);                      /* freed */
    sets[t] = sets[t] & SETS(function[t], v);
    assert(sets[t] != 0);                             /* universe */
}

inline move(t) { state[t] = target }

/* The outermost changing function has returned; its hook fires if it has one. */
inline leave(t) {
    pc[t] = OUT;
    version[t] = 0; function[t] = 0; in_caller[t] = 0; calls_left[t] = 0; sets[t] = 0;
    if
    :: hooked[t] ->
        hooked[t] = 0;
        if
#ifdef HOOK_HAS_TARGET
        :: moving -> state[t] = hook_target[t]
        :: else
#else
        :: moving && state[t] != target -> move(t)
        :: else
#endif
        fi
    :: else
    fi;
    assert(!moving || !swept || state[t] == target)   /* forgotten */
}

/* What the walk over a stopped task's stack says. */
inline examine(t) {
    if
    :: pc[t] == DEAD
#ifdef HOOK_HAS_TARGET
    :: pc[t] != DEAD && state[t] == target
#else
    :: pc[t] != DEAD && state[t] == target -> hooked[t] = 0
#endif
    :: pc[t] != DEAD && state[t] != target ->
        if
        :: pc[t] == OUT -> move(t)
#ifdef TRAMPOLINE_IS_OUTSIDE
        :: !in_caller[t] && (pc[t] == TRAMPOLINE || pc[t] == CHOSEN) -> move(t)
#endif
#ifdef HELPER_IS_OUTSIDE
        :: !in_caller[t] && pc[t] == HELPER -> move(t)
#endif
#ifdef CALLER_IS_NOT_HELD
        :: pc[t] == CALLER -> move(t)
#endif
#ifdef HOOK_HAS_TARGET
        :: pc[t] != OUT && !hooked[t] -> hooked[t] = 1; hook_target[t] = target
        :: pc[t] != OUT && hooked[t]
#else
        :: else -> hooked[t] = 1
#endif
        fi
    fi
}

proctype Task(byte t) {
    byte v;
    do
    /* Goes into the held caller, which calls f and g twice in any order; or calls one of them by itself. */
    :: atomic { CALLS_TWICE && pc[t] == OUT -> pc[t] = CALLER; in_caller[t] = 1; calls_left[t] = 2; sets[t] = 7 }
    :: atomic { CALLS_ONCE && pc[t] == OUT -> pc[t] = SITE; function[t] = 0; sets[t] = 7 }
    :: atomic { CALLS_ONCE && pc[t] == OUT -> pc[t] = SITE; function[t] = 1; sets[t] = 7 }
    :: atomic { pc[t] == CALLER && calls_left[t] > 0 -> calls_left[t]--; pc[t] = SITE; function[t] = 0 }
    :: atomic { pc[t] == CALLER && calls_left[t] > 0 -> calls_left[t]--; pc[t] = SITE; function[t] = 1 }
    :: atomic { pc[t] == CALLER && calls_left[t] == 0 -> leave(t) }

    :: atomic { pc[t] == SITE ->                      /* fetched on one of the processors */
            if
            :: v = view[function[t]]
            :: v = view[2 + function[t]]
            :: view[function[t]] = site[function[t]]; v = site[function[t]]
            :: view[2 + function[t]] = site[function[t]]; v = site[function[t]]
            fi;
            if
            :: v == TO_TRAMPOLINE -> assert(trampolines); pc[t] = TRAMPOLINE      /* freed */
            :: else -> enter(t, v)
            fi;
            v = 0 }
    :: atomic { pc[t] == TRAMPOLINE -> version[t] = dispatch[state[t] * 2 + function[t]]; pc[t] = CHOSEN }
    :: atomic { pc[t] == CHOSEN -> enter(t, version[t]) }

    :: atomic { HAS_HELPER && pc[t] == BODY && version[t] != 0 -> pc[t] = HELPER }
    :: atomic { (pc[t] == BODY || pc[t] == HELPER) && in_caller[t] -> pc[t] = CALLER; version[t] = 0; function[t] = 0 }
    :: atomic { (pc[t] == BODY || pc[t] == HELPER) && !in_caller[t] -> leave(t) }

    /* The last one ends, wherever it is, and is born again in the state of a creator that is outside or inside. */
    :: atomic { t == LAST && pc[t] != DEAD && pc[t] != TRAMPOLINE && pc[t] != CHOSEN && pc[t] != SITE ->
            hooked[t] = 0; pc[t] = DEAD;
            version[t] = 0; function[t] = 0; in_caller[t] = 0; calls_left[t] = 0; sets[t] = 0; state[t] = 0 }
#ifdef BIRTH_IN_TWO_STEPS
    :: atomic { t == LAST && pc[t] == DEAD -> v = state[0] + 4 }
    :: atomic { t == LAST && pc[t] == DEAD && v >= 4 -> state[t] = v - 4; v = 0; pc[t] = OUT }
#else
    :: atomic { t == LAST && pc[t] == DEAD ->
            state[t] = state[0]; pc[t] = OUT;
            if
            :: moving && state[t] != target -> move(t)
            :: else
            fi }
#endif
    od
}

#ifdef DONT_WAIT_FOR_THE_LAST
#define ALL_MOVED (pc[0] == DEAD || state[0] == target)
#elif TASKS == 2
#define ALL_MOVED ((pc[0] == DEAD || state[0] == target) && (pc[1] == DEAD || state[1] == target))
#else
#define ALL_MOVED ((pc[0] == DEAD || state[0] == target) && (pc[1] == DEAD || state[1] == target) && \
                     (pc[2] == DEAD || state[2] == target))
#endif

#define FOR_ALL(t) for (t : 0 .. LAST)

inline synchronise() {
    d_step { view[0] = site[0]; view[1] = site[1] };
    d_step { view[2] = site[0]; view[3] = site[1] }
}

/* Nothing may be in patch `k`, and nothing may lead there. */
inline release(k) {
    d_step {
        if
        :: k != 0 && loaded[k] ->
            FOR_ALL(i) {
                assert(!((pc[i] == BODY || pc[i] == HELPER || pc[i] == CHOSEN) && version[i] == k))  /* freed */
            }
            assert(site[0] != k && site[1] != k);  /* freed */
            assert(view[0] != k && view[1] != k && view[2] != k && view[3] != k);  /* freed */
            loaded[k] = 0
        :: else
        fi;
        i = 0
    }
}

inline sweep() {
    i = 0;
    do
    :: i < TASKS ->
#ifdef LOOK_THEN_MOVE
        atomic { looked = (pc[i] == OUT && state[i] != target) };
        atomic {
            if
            :: looked -> move(i)
            :: else -> examine(i)
            fi;
            looked = 0;
            i++
        }
#else
        atomic { examine(i); i++ }
#endif
    :: else -> break
    od;
    atomic { swept = 1; i = 0 }
}

/* The end of a transition: everybody is where they belong, and nobody can get into a trampoline any more. */
inline check_completion() {
    FOR_ALL(i) {
        hooked[i] = 0;
        assert(pc[i] == DEAD || state[i] == target);  /* settled */
        assert(pc[i] != TRAMPOLINE && pc[i] != CHOSEN)  /* freed */
    }
    assert(view[0] != TO_TRAMPOLINE && view[1] != TO_TRAMPOLINE);  /* freed */
    assert(view[2] != TO_TRAMPOLINE && view[3] != TO_TRAMPOLINE)  /* freed */
}

/* From set `from` to set `to`; function g has a func only where P is one of them. */
inline transition() {
    changes_g = (from == 1 || to == 1);
    d_step {
        dispatch[settled * 2] = VERSION(from, 0);
        dispatch[settled * 2 + 1] = VERSION(from, 1);
        dispatch[(1 - settled) * 2] = VERSION(to, 0);
        dispatch[(1 - settled) * 2 + 1] = VERSION(to, 1);
        trampolines = 1;
        target = 1 - settled;
        swept = 0
    };
    site[0] = TO_TRAMPOLINE;
#ifdef MOVE_BEFORE_ALL_SITES
    moving = 1;
    sweep();
#endif
    if
    :: changes_g -> site[1] = TO_TRAMPOLINE
    :: else
    fi;
#ifndef NO_SYNC_BEFORE_MOVING
    synchronise();
#endif
    moving = 1;
    sweep();
    do
    :: moving = 0;
        d_step { target = 1 - target; moving = 1;
#ifndef NO_SWEEP_AFTER_TURN
            swept = 0
#endif
        };
#ifndef NO_SWEEP_AFTER_TURN
        sweep()
#endif
    :: ALL_MOVED -> break
    od;
    in_force = (target == settled -> from : to);
    outgoing = (target == settled -> to : from);
#ifdef SETTLE_ALWAYS_FORWARD
    site[0] = VERSION(to, 0);
    site[1] = VERSION(to, 1);
#else
    site[0] = VERSION(in_force, 0);
    site[1] = VERSION(in_force, 1);
#endif
#ifndef NO_SYNC_AFTER_SETTLING
    synchronise();
#endif
#ifndef NO_DRAIN
    i = 0;
    do
    :: i < TASKS ->
        atomic {
            if
            :: pc[i] == TRAMPOLINE || pc[i] == CHOSEN -> enter(i, site[function[i]])
            :: else
            fi;
            i++
        }
    :: else -> break
    od;
    i = 0;
#endif
    moving = 0;
    d_step {
        check_completion();
        trampolines = 0;
        settled = target;
        swept = 0;
        dispatch[0] = 0; dispatch[1] = 0; dispatch[2] = 0; dispatch[3] = 0;
        i = 0
    }
}

proctype Manager() {
    byte i, from, to, in_force, outgoing;
    bit changes_g, dormant;
#ifdef LOOK_THEN_MOVE
    bit looked;
#endif
    do
    :: if
        :: in_force == 0 -> from = 0; to = 1; loaded[1] = 1
        :: in_force == 0 -> from = 0; to = 2; loaded[2] = 1
        :: in_force == 1 -> from = 1; to = 0
        :: in_force == 1 -> from = 1; to = 2; loaded[2] = 1
        :: in_force == 2 && dormant -> from = 2; to = 1             /* rollback */
        :: in_force == 2 && dormant -> dormant = 0; release(1); from = 2; to = 0   /* commit, then unload */
        :: in_force == 2 -> from = 2; to = 0
        fi;
        transition();
        if
        :: in_force == 2 && from == 1 ->                            /* replaced: on probation, or not */
#ifdef DORMANT_IS_FREED
            dormant = 1;
            release(1)
#else
            if
            :: dormant = 1
            :: release(1)
            fi
#endif
        :: in_force == 1 && from == 2 -> dormant = 0; release(2)    /* rolled back */
        :: in_force == 0 -> dormant = 0; release(1); release(2)
        :: else ->
            if
            :: outgoing == 1 && !dormant -> release(1)
            :: outgoing == 2 -> release(2)
            :: else
            fi
        fi;
        from = 0; to = 0; outgoing = 0; changes_g = 0
    od
}

init {
    byte n;
    atomic {
        loaded[0] = 1;
        for (n : 0 .. LAST) { run Task(n) }
        n = 0;
        run Manager()
    }
}
