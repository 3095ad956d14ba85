// Do two items of the two sides mean the same? Code and data are compared byte by byte without the fields that the
// linker fills in, and for those by what they refer to: paired items at equal offsets, things of one name, or content
// that is equal itself.
#pragma once

#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tools/differ/comparison.h"

namespace graft::differ {

class Equality {
public:
    enum class Mode : u8 {
        strict,  // what isn't paired isn't equal
        loose,   // two unpaired items of one unnumbered name and size may be each other: for finding pairs
    };

    // `to_new` gives the patched item of each baseline item (0 = none) and may change between calls. With
    // `across_units` the two sides are the same side of two units: things that are visible outside are equal by name,
    // static ones by name and content.
    Equality(const UnitObject& old_side, const UnitObject& new_side, const std::vector<u32>& to_new, Mode mode)
        : old_(old_side), new_(new_side), to_new_(to_new), mode_(mode) {}

    // The first difference of two items, or nothing.
    std::optional<Difference> difference(u32 old_item, u32 new_item) const;
    bool equal(u32 old_item, u32 new_item) const { return !difference(old_item, new_item); }
    // Equal but for what they refer to: then their references correspond one by one.
    bool same_shape(u32 old_item, u32 new_item) const;
    // Do two references mean the same place?
    bool same_target(const Reference& old_reference, const Reference& new_reference) const;

private:
    // Two places in content, compared up to the end of what stands there.
    bool same_content(u32 old_item, i64 old_offset, u32 new_item, i64 new_offset) const;
    bool same_bytes(u32 old_item, u64 old_begin, u32 new_item, u64 new_begin, u64 size) const;
    bool maybe_same(const Item& old_item, const Item& new_item) const;
    std::string what_differs(const Reference& old_reference, const Reference& new_reference) const;
    Difference code_difference(u32 old_item, u32 new_item, u64 at) const;

    const UnitObject& old_;
    const UnitObject& new_;
    const std::vector<u32>& to_new_;
    Mode mode_;
    // Content that is being compared further up: content may refer to itself.
    mutable std::set<std::tuple<u32, u64, u32, u64>> open_;
};

// The text up to its NUL, in quotes, shortened.
std::string quoted(std::span<const std::byte> text);

// The thing that a reference means, in words: "'f(int)'", "'table'+0x10", "the string \"hello\"".
std::string target_text(const UnitObject& unit, const Reference& reference);

}  // namespace graft::differ
