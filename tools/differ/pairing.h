// Which item of the baseline is which item of the patched object.
//
// Steps, each only where the choice is unique on both sides, repeated until nothing more is found:
//   1. equal linkage names that carry no compiler number
//   2. names that are equal but for numbers: by the function they are local to, by equal bodies or initial values, by
//      the places of paired functions that refer to them, by being the only one left; guard variables go with what they
//      guard
//   3. names that are equal but for scope: static and global, anonymous namespaces
//   4. different names: data that the same paired functions use at the same places
//   5. in order, when as many are left on both sides
// What is found by more than names is a guess, and said so. Content isn't paired: it is compared by content.
//
// Writable data that exists in the image must not get a second copy. What may be such data and stays unpaired is in
// `unpairable`.
#pragma once

#include <string>
#include <vector>

#include "tools/differ/comparison.h"

namespace graft::differ {

struct Guess {
    u32 old_item = 0;
    u32 new_item = 0;
    std::string why;
};

struct Unpairable {
    u32 new_item = 0;
    std::vector<u32> candidates;  // baseline items that it may be
};

struct Pairing {
    std::vector<u32> to_patched;   // by baseline item
    std::vector<u32> to_baseline;  // by patched item
    std::vector<Guess> guesses;
    std::vector<Unpairable> unpairable;
};

// The debug information says which function a static local belongs to; without it, names and uses have to do.
Pairing pair_items(const UnitObject& baseline, const UnitObject& patched, const DebugInfo& baseline_debug,
                   const DebugInfo& patched_debug);

}  // namespace graft::differ
