// The unwind table of a patch: for each function that it carries, the frame descriptions that the compiler wrote for
// it, with the common records that these need, once each.
#pragma once

#include <map>
#include <vector>

#include "tools/differ/unit_object.h"

namespace graft::differ {

class FrameTable {
public:
    // Adds the descriptions of a function of `unit`, which is `symbol` in the patch. An error when there is none, or
    // when one says more than a patch can carry (personality routines, language data).
    PackResult<void> add(const UnitObject& unit, const Item& function, u32 symbol);

    // The section `.eh_frame`.
    ObjectSection section() const;

private:
    u64 add_common(std::span<const std::byte> record);

    std::vector<std::byte> bytes_;
    std::vector<ObjectRelocation> relocations_;
    std::map<std::vector<std::byte>, u64> common_;  // record → its place
};

}  // namespace graft::differ
