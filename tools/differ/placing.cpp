#include "tools/differ/placing.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

namespace graft::differ {
namespace {

class Placer {
public:
    Placer(UnitPair& pair, const tools::Image& image) : pair_(pair), unit_(pair.baseline), image_(image) {}

    PackResult<void> place(const LinkMap& map);
    PackResult<void> verify();

private:
    std::unexpected<PackError> differs(const Item& item, u64 address, std::string_view why) const {
        return tools::pack_error(
            fmt::format("{}: '{}': the image at {:#x} {}: it was linked from another object than the baseline's",
                        unit_.path(), demangled(item.name), address, why));
    }
    PackResult<void> verify_item(const Item& item, u64 address);
    bool matches(const Item& item, u64 begin, u64 end, u64 address);
    bool field_matches(const Item& item, const Reference& reference, u64 address);
    std::optional<u64> address_of(const Reference& reference) const;

    UnitPair& pair_;
    const UnitObject& unit_;
    const tools::Image& image_;
    std::set<std::pair<u32, u64>> open_;  // content that is being looked at further up
};

PackResult<void> Placer::place(const LinkMap& map) {
    const std::vector<LinkedSection>* linked = map.object(pair_.unit->linked_as);
    if (!linked)
        return tools::pack_error(fmt::format("{}: {} isn't part of the image", map.path(), pair_.unit->linked_as));
    std::vector<bool> taken(linked->size(), false);
    std::vector<u64> base(unit_.object().sections.size(), 0);
    for (u32 index = 1; index < unit_.object().sections.size(); ++index) {
        const ObjectSection& section = unit_.object().sections[index];
        if ((section.flags & SHF_ALLOC) == 0 || (section.flags & SHF_MERGE) != 0 || section.name == ".eh_frame")
            continue;
        usize found = 0;
        while (found < linked->size() && (taken[found] || (*linked)[found].name != section.name)) ++found;
        if (found == linked->size()) {
            if (section.size == 0) continue;
            return tools::pack_error(
                fmt::format("{}: section '{}' of {} isn't there", map.path(), section.name, pair_.unit->linked_as));
        }
        taken[found] = true;
        const LinkedSection& entry = (*linked)[found];
        if (entry.size != section.size)
            return tools::pack_error(fmt::format("{}: section '{}' of {} has {} bytes in the image, {} in the object",
                                                 map.path(), section.name, pair_.unit->linked_as, entry.size,
                                                 section.size));
        if (!entry.discarded) base[index] = entry.address;
    }
    pair_.placed.assign(unit_.items().size(), {});
    for (u32 i = 1; i < unit_.items().size(); ++i) {
        const Item& item = unit_.item(i);
        if (item.section == 0) continue;
        if (base[item.section] != 0) {
            pair_.placed[i].address = base[item.section] + item.offset;
        } else if (!item.local && !item.merged) {
            auto address = image_.visible(item.name);
            if (address) pair_.placed[i] = {.address = address->value, .elsewhere = true};
        }
    }
    return {};
}

PackResult<void> Placer::verify() {
    for (u32 i = 1; i < unit_.items().size(); ++i) {
        const Item& item = unit_.item(i);
        const Placement& placed = pair_.placed[i];
        if (placed.address == 0 || placed.elsewhere || item.zero || item.size == 0) continue;
        GRAFT_CHECK(verify_item(item, placed.address));
    }
    return {};
}

PackResult<void> Placer::verify_item(const Item& item, u64 address) {
    if (image_.bytes(VirtAddr(address), item.size).empty()) return differs(item, address, "has no bytes");
    if (!matches(item, 0, item.size, address)) return differs(item, address, "has other bytes");
    return {};
}

// The item's bytes [begin, end) against the image, where the item's first byte lies at `address`.
bool Placer::matches(const Item& item, u64 begin, u64 end, u64 address) {
    std::span<const std::byte> expected = unit_.bytes(item);
    std::span<const std::byte> found = image_.bytes(VirtAddr(address + begin), end - begin);
    if (found.size() != end - begin) return false;
    u64 at = begin;
    for (const Reference& reference : item.references) {
        if (reference.at < begin || reference.at >= end) continue;
        if (!std::ranges::equal(expected.subspan(at, reference.at - at), found.subspan(at - begin, reference.at - at)))
            return false;
        if (!field_matches(item, reference, address)) return false;
        at = std::min<u64>(end, reference.at + (reference.type == R_X86_64_64 ? 8 : 4));
    }
    return std::ranges::equal(expected.subspan(at, end - at), found.subspan(at - begin, end - at));
}

std::optional<u64> Placer::address_of(const Reference& reference) const {
    const Item& target = unit_.item(reference.target);
    u64 base = 0;
    if (target.kind == ItemKind::undefined) {
        auto address = image_.visible(target.name);
        if (!address) return std::nullopt;
        base = address->value;
    } else {
        base = pair_.placed[reference.target].address;
        if (base == 0) return std::nullopt;
    }
    return base + static_cast<u64>(reference.target_offset);
}

// What the linker wrote: the address of the place meant, or of equal content, wherever that was merged to.
bool Placer::field_matches(const Item& item, const Reference& reference, u64 address) {
    u64 place = address + reference.at;
    u64 meant = 0;
    if (reference.type == R_X86_64_64) {
        auto field = image_.bytes(VirtAddr(place), 8);
        if (field.size() != 8) return false;
        std::memcpy(&meant, field.data(), 8);
    } else {
        auto field = image_.bytes(VirtAddr(place), 4);
        if (field.size() != 4) return false;
        i32 value = 0;
        std::memcpy(&value, field.data(), 4);
        meant = static_cast<u64>(static_cast<i64>(value));
        if (reference.type != R_X86_64_32S && reference.type != R_X86_64_32) meant += place + reference.bias;
    }
    const Item& target = unit_.item(reference.target);
    if (auto expected = address_of(reference)) {
        if (meant == *expected) return true;
        // The tables know the places behind themselves as they were before the tables were filled.
        return target.name == "__graft_tables_end" || target.name == "__image_end";
    }
    if (target.kind != ItemKind::content) {
        // Nothing in the image: the item itself is only there because the linker kept its section as a whole.
        return target.kind == ItemKind::undefined || item.kind != ItemKind::function;
    }
    UnitObject::Stretch stretch = unit_.stretch(target, reference.target_offset);
    if (!open_.insert({reference.target, stretch.begin}).second) return true;
    bool same = matches(target, stretch.begin, stretch.end, meant - static_cast<u64>(reference.target_offset));
    open_.erase({reference.target, stretch.begin});
    return same;
}

}  // namespace

PackResult<void> place_baseline(UnitPair& pair, const LinkMap& map, const tools::Image& image) {
    pair.placed.assign(pair.baseline.items().size(), {});
    if (pair.is_new()) return {};
    Placer placer(pair, image);
    GRAFT_CHECK(placer.place(map));
    return placer.verify();
}

}  // namespace graft::differ
