// What comparing found out, before anything is refused or emitted: the input of the judges.
//
// A judge is a function `PackResult<void> judge_…(const Comparison&, Result&)` that compare() calls after the decisions
// stand and before anything is emitted; it adds refusals, warnings, holds (decisions of kind held) and reasons.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/differ/debug_info.h"
#include "tools/differ/differ.h"
#include "tools/differ/link_map.h"
#include "tools/differ/unit_object.h"
#include "tools/patch/image.h"
#include "tools/patch/klp_file.h"

namespace graft::differ {

// An item of the baseline in the image.
struct Placement {
    u64 address = 0;         // 0: the image doesn't have it (dropped by the linker)
    bool elsewhere = false;  // the image has another unit's copy
};

enum class ItemChange : u8 {
    same,     // means the same
    changed,  // both sides have it, and it doesn't
    added,    // no counterpart in the baseline
    removed,  // no counterpart in the patched object
};

// The first difference of a changed item.
struct Difference {
    u64 old_at = 0;  // from the item's first byte; code: of the instruction
    u64 new_at = 0;
    std::string what;  // "'f(int)' instead of 'g()'", "'mov eax, 1' became 'mov eax, 2'", "other initial value", …
};

// An item of some unit.
struct ItemPlace {
    u32 unit = 0;
    u32 item = 0;  // 0: none

    friend auto operator<=>(const ItemPlace&, const ItemPlace&) = default;
};

// One unit, both sides. A side that the unit doesn't have is an object with no items but item 0.
struct UnitPair {
    const Unit* unit = nullptr;
    UnitObject baseline;
    UnitObject patched;
    std::shared_ptr<const DebugInfo> baseline_debug;  // never null
    std::shared_ptr<const DebugInfo> patched_debug;
    std::vector<u32> to_patched;          // by baseline item; 0 = none. Content isn't paired
    std::vector<u32> to_baseline;         // by patched item
    std::vector<Placement> placed;        // by baseline item
    std::vector<ItemChange> old_changes;  // by baseline item (same, changed, removed)
    std::vector<ItemChange> new_changes;  // by patched item (same, changed, added)
    std::vector<ItemPlace> moved_from;    // by patched item: the baseline item of another unit that it was
    std::vector<Difference> differences;  // by patched item; meaningful when changed

    bool is_new() const { return unit->baseline.empty(); }
    bool goes_on() const { return unit->patched.empty() && !unit->removed; }
};

// A state that a patched unit declares (patch/author.h).
struct DeclaredState {
    u32 unit = 0;
    tools::KlpContents::State state;                          // callbacks are symbols of the unit's patched object
    std::array<u32, formats::kKlpCallbackCount> callbacks{};  // the items that they are, 0 = none
};

// A patched item that the patch carries.
struct Carried {
    ItemPlace place;
    u64 replaces = 0;          // a changed function: the entry of the old one in the image
    bool initialiser = false;  // runs when the patch is loaded
};

struct Comparison {
    const Request* request = nullptr;
    const tools::Image* image = nullptr;
    const LinkMap* map = nullptr;
    std::vector<UnitPair> units;  // in the request's order
    std::vector<DeclaredState> states;
    std::vector<Carried> carried;  // in the order of `place`

    const Item& old_item(ItemPlace place) const { return units[place.unit].baseline.item(place.item); }
    const Item& new_item(ItemPlace place) const { return units[place.unit].patched.item(place.item); }
    // Where the image has what a patched item is; 0 when it doesn't have it.
    u64 image_address(ItemPlace patched) const;
    // Where it is defined; the unit's source without a line when the debug information doesn't say.
    SourcePlace old_place(ItemPlace place) const;
    SourcePlace new_place(ItemPlace place) const;
};

}  // namespace graft::differ
