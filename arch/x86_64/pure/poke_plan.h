// How text is written while other processors run it: the steps, as data, and the check that comes before the first one.
//
// The protocol, for any number of sites at once (the number of rounds doesn't depend on it):
//   1  int3 over every first byte        a processor that gets here meets the whole old instruction or an int3
//   2  synchronise
//   3  the tails                         nobody fetches them: int3 stands before them
//   4  synchronise
//   5  the first bytes                   int3 or the whole new instruction
//   6  synchronise                       from here on nobody meets an int3 on hardware
//   7  flush the writable alias's translation, then write the first bytes again, the same value
//   8  synchronise
// Steps 7 and 8 are for emulators that translate code: a block translated from old bytes while step 5 was written is
// linked by the time of step 6, and the second write invalidates it; the flush makes that write be seen as one to code.
//
// "Synchronise" means: every processor has executed a serialising instruction since. [intel/vol3 §8.1.3]
// The breakpoint handler is part of the protocol: it goes to the site's current target and never tries again.
//
// The steps are constants and the helpers are inlined, because the writer itself must call nothing that can be patched.
// check_pokes() is an ordinary function: it runs before.
//
// Pure: no state, no locks. The caller holds the text lock from the check to the last step.
#pragma once

#include <array>
#include <span>

#include "arch/x86_64/pure/trampoline.h"
#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

struct Poke {
    VirtAddr site;
    SiteBytes expected;  // what must be there before
    SiteBytes wanted;
};

enum class PokeStep : u8 { write_breakpoint, write_tail, write_first, flush_alias, synchronise };

inline constexpr std::array kPokeSteps = {
    PokeStep::write_breakpoint, PokeStep::synchronise,                         //
    PokeStep::write_tail,       PokeStep::synchronise,                         //
    PokeStep::write_first,      PokeStep::synchronise,                         //
    PokeStep::flush_alias,      PokeStep::write_first, PokeStep::synchronise,  //
};

// The bytes [first, last) of a site that a step writes; empty for the steps that write nothing.
struct PokeSpan {
    usize first;
    usize last;
};

[[gnu::always_inline]] constexpr PokeSpan written_by(PokeStep step) {
    if (step == PokeStep::write_tail) return {1, kSiteSize};
    if (step == PokeStep::write_breakpoint || step == PokeStep::write_first) return {0, 1};
    return {0, 0};
}

[[gnu::always_inline]] constexpr u8 byte_for(PokeStep step, const Poke& poke, usize index) {
    return step == PokeStep::write_breakpoint ? kBreakpoint : poke.wanted[index];
}

enum class PokeFault : u8 {
    unexpected_bytes,  // the site holds something else than it should: nothing has been written
    not_a_site,        // expected or wanted is neither the NOP nor a jump
    not_ascending,     // the batch isn't sorted by address, or names a site twice
    crosses_word,      // the five bytes don't lie within one aligned 8-byte word
};

struct PokeRefusal {
    PokeFault fault;
    VirtAddr site;
    SiteBytes expected;
    SiteBytes found;
};

// Reads text as it is now.
class TextReader {
public:
    virtual SiteBytes read(VirtAddr site) const = 0;

protected:
    ~TextReader() = default;
};

// Every site of the batch holds what is expected, and the batch is well formed. The first fault in address order.
Result<void, PokeRefusal> check_pokes(std::span<const Poke> pokes, const TextReader& text);

}  // namespace graft::arch
