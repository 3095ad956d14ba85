#include "tools/differ/equality.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/differ/instructions.h"
#include "tools/differ/names.h"

namespace graft::differ {
namespace {

u64 field_size(const Reference& reference) {
    return reference.type == R_X86_64_64 || reference.type == R_X86_64_PC64 ? 8 : 4;
}

// A call of a static function and one of a global function differ in the relocation's type alone, and not in what the
// linker makes of it.
bool same_type(u32 one, u32 other) {
    auto plain = [](u32 type) { return type == R_X86_64_PLT32 ? u32{R_X86_64_PC32} : type; };
    return plain(one) == plain(other);
}

// The references whose fields begin in [begin, end).
std::span<const Reference> references_in(const Item& item, u64 begin, u64 end) {
    auto before = [](const Reference& reference, u64 at) { return reference.at < at; };
    auto first = std::lower_bound(item.references.begin(), item.references.end(), begin, before);
    auto last = std::lower_bound(first, item.references.end(), end, before);
    return {first, last};
}

constexpr u64 kMaxPadding = 64;  // the largest alignment of literals

// Zeros up to the next literal's alignment.
bool is_padding(const UnitObject& unit, const Item& item, u64 begin, u64 end) {
    if (begin == end) return true;
    if (item.merged || end - begin >= kMaxPadding || !references_in(item, begin, end).empty()) return false;
    auto bytes = unit.bytes(item).subspan(begin, end - begin);
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

bool shares_name(const Item& left, const Item& right) {
    if (left.name == right.name) return true;
    for (const std::string& alias : left.aliases) {
        if (alias == right.name || std::ranges::find(right.aliases, alias) != right.aliases.end()) return true;
    }
    return std::ranges::find(right.aliases, left.name) != right.aliases.end();
}

bool visible_outside(const Item& item) {
    return item.kind == ItemKind::undefined || !item.local;
}

}  // namespace

std::string quoted(std::span<const std::byte> text) {
    std::string result = "\"";
    for (std::byte byte : text) {
        char c = static_cast<char>(byte);
        if (c == 0) break;
        if (result.size() > 40) return result + "…\"";
        if (c == '\n')
            result += "\\n";
        else if (c >= ' ' && c != 0x7f)
            result += c;
        else
            result += '?';
    }
    return result + '"';
}

std::string target_text(const UnitObject& unit, const Reference& reference) {
    const Item& target = unit.item(reference.target);
    if (target.kind == ItemKind::content) {
        UnitObject::Stretch stretch = unit.stretch(target, reference.target_offset);
        std::span<const std::byte> bytes = unit.bytes(target).subspan(stretch.begin, stretch.end - stretch.begin);
        if (target.strings) return "the string " + quoted(bytes);
        return fmt::format("a constant of {} bytes", bytes.size());
    }
    std::string name = fmt::format("'{}'", demangled(target.name));
    i64 offset = reference.target_offset;
    if (offset == 0) return name;
    return fmt::format("{}{}{:#x}", name, offset < 0 ? "-" : "+", offset < 0 ? -offset : offset);
}

bool Equality::maybe_same(const Item& old_item, const Item& new_item) const {
    return old_item.kind == new_item.kind && old_item.is_function() == new_item.is_function() &&
           (old_item.is_function() || old_item.size == new_item.size) &&
           unnumbered(old_item.name) == unnumbered(new_item.name);
}

bool Equality::same_target(const Reference& old_reference, const Reference& new_reference) const {
    const Item& old_target = old_.item(old_reference.target);
    const Item& new_target = new_.item(new_reference.target);
    if (old_target.kind == ItemKind::content && new_target.kind == ItemKind::content)
        return same_content(old_reference.target, old_reference.target_offset, new_reference.target,
                            new_reference.target_offset);
    if (old_reference.target_offset != new_reference.target_offset) return false;
    if (old_target.kind == ItemKind::content || new_target.kind == ItemKind::content) return false;
    u32 paired = old_reference.target < to_new_.size() ? to_new_[old_reference.target] : 0;
    if (paired != 0) return paired == new_reference.target;
    if (visible_outside(old_target) && visible_outside(new_target) && shares_name(old_target, new_target)) return true;
    if (mode_ == Mode::strict) return false;
    bool taken = std::ranges::find(to_new_, new_reference.target) != to_new_.end();
    return !taken && maybe_same(old_target, new_target);
}

bool Equality::same_content(u32 old_item, i64 old_offset, u32 new_item, i64 new_offset) const {
    const Item& old_target = old_.item(old_item);
    const Item& new_target = new_.item(new_item);
    UnitObject::Stretch old_stretch = old_.stretch(old_target, old_offset);
    UnitObject::Stretch new_stretch = new_.stretch(new_target, new_offset);
    // Where in the stretch, however far outside a folded index puts it.
    i64 old_within = old_offset - static_cast<i64>(old_stretch.begin);
    i64 new_within = new_offset - static_cast<i64>(new_stretch.begin);
    u64 old_size = old_stretch.end - old_stretch.begin;
    u64 new_size = new_stretch.end - new_stretch.begin;
    u64 size = std::min(old_size, new_size);
    if (old_within != new_within) return false;
    // What follows a literal decides how much padding counts as part of it.
    bool longer_is_padded = old_size > new_size
                                ? is_padding(old_, old_target, old_stretch.begin + size, old_stretch.end)
                                : is_padding(new_, new_target, new_stretch.begin + size, new_stretch.end);
    if (!longer_is_padded) return false;
    auto key = std::tuple(old_item, old_stretch.begin, new_item, new_stretch.begin);
    if (!open_.insert(key).second) return true;
    bool same = same_bytes(old_item, old_stretch.begin, new_item, new_stretch.begin, size);
    open_.erase(key);
    return same;
}

bool Equality::same_bytes(u32 old_item, u64 old_begin, u32 new_item, u64 new_begin, u64 size) const {
    const Item& old_target = old_.item(old_item);
    const Item& new_target = new_.item(new_item);
    auto old_references = references_in(old_target, old_begin, old_begin + size);
    auto new_references = references_in(new_target, new_begin, new_begin + size);
    if (old_references.size() != new_references.size()) return false;
    std::span<const std::byte> old_bytes = old_.bytes(old_target).subspan(old_begin, size);
    std::span<const std::byte> new_bytes = new_.bytes(new_target).subspan(new_begin, size);
    u64 at = 0;
    for (usize i = 0; i <= old_references.size(); ++i) {
        u64 field = i < old_references.size() ? old_references[i].at - old_begin : size;
        if (field < at) field = at;
        if (!std::ranges::equal(old_bytes.subspan(at, field - at), new_bytes.subspan(at, field - at))) return false;
        if (i == old_references.size()) break;
        if (new_references[i].at - new_begin != field || !same_type(new_references[i].type, old_references[i].type) ||
            !same_target(old_references[i], new_references[i]))
            return false;
        at = std::min(size, field + field_size(old_references[i]));
    }
    return true;
}

bool Equality::same_shape(u32 old_item, u32 new_item) const {
    const Item& before = old_.item(old_item);
    const Item& after = new_.item(new_item);
    if (before.kind != after.kind || before.size != after.size || before.zero != after.zero) return false;
    auto correspond = [&](const Reference& a, const Reference& b) {
        bool content = old_.item(a.target).kind == ItemKind::content && new_.item(b.target).kind == ItemKind::content;
        return a.at == b.at && same_type(a.type, b.type) && (content || a.target_offset == b.target_offset);
    };
    if (!std::ranges::equal(before.references, after.references, correspond)) return false;
    std::span<const std::byte> old_bytes = old_.bytes(before);
    std::span<const std::byte> new_bytes = new_.bytes(after);
    u64 at = 0;
    for (const Reference& reference : before.references) {
        if (!std::ranges::equal(old_bytes.subspan(at, reference.at - at), new_bytes.subspan(at, reference.at - at)))
            return false;
        at = reference.at + field_size(reference);
    }
    return std::ranges::equal(old_bytes.subspan(at), new_bytes.subspan(at));
}

std::string Equality::what_differs(const Reference& old_reference, const Reference& new_reference) const {
    return fmt::format("{} instead of {}", target_text(new_, new_reference), target_text(old_, old_reference));
}

Difference Equality::code_difference(u32 old_item, u32 new_item, u64 at) const {
    std::span<const std::byte> old_code = old_.bytes(old_.item(old_item));
    std::span<const std::byte> new_code = new_.bytes(new_.item(new_item));
    auto old_starts = instruction_starts(old_code);
    auto new_starts = instruction_starts(new_code);
    Difference difference{.old_at = at, .new_at = at, .what = "other code"};
    if (!old_starts || !new_starts || old_starts->empty() || new_starts->empty()) return difference;
    difference.old_at = instruction_at(*old_starts, at);
    difference.new_at = instruction_at(*new_starts, at);
    std::string old_text = instruction_text(old_code.subspan(difference.old_at), difference.old_at);
    std::string new_text = instruction_text(new_code.subspan(difference.new_at), difference.new_at);
    if (at >= old_code.size())
        difference.what = fmt::format("more code from '{}' on", new_text);
    else if (at >= new_code.size())
        difference.what = fmt::format("less code: ends before '{}'", old_text);
    else
        difference.what = fmt::format("'{}' became '{}'", old_text, new_text);
    return difference;
}

std::optional<Difference> Equality::difference(u32 old_item, u32 new_item) const {
    const Item& before = old_.item(old_item);
    const Item& after = new_.item(new_item);
    auto at = [](u64 place, std::string what) { return Difference{place, place, std::move(what)}; };
    if (before.kind != after.kind) {
        bool both_data = before.has_identity() && after.has_identity();
        return at(0, both_data ? (after.writable ? "became writable" : "became read-only") : "became something else");
    }
    if (!before.is_function()) {
        if (before.size != after.size) return at(0, fmt::format("{} bytes became {}", before.size, after.size));
        if (before.alignment < after.alignment && before.has_identity())
            return at(0, fmt::format("alignment {} became {}", before.alignment, after.alignment));
    }
    std::span<const std::byte> old_bytes = old_.bytes(before);
    std::span<const std::byte> new_bytes = new_.bytes(after);
    auto differs_at = [&](u64 place, const char* data_text) {
        return before.is_function() ? code_difference(old_item, new_item, place) : at(place, data_text);
    };
    // An object of zeros may lie in .data or .bss, as the compiler likes.
    if (before.zero != after.zero) {
        std::span<const std::byte> bytes = before.zero ? new_bytes : old_bytes;
        const Item& filled = before.zero ? after : before;
        for (u64 i = 0; i < bytes.size(); ++i) {
            if (bytes[i] != std::byte{0}) return at(i, "other initial value");
        }
        if (!filled.references.empty()) return at(filled.references.front().at, "other initial value");
        return std::nullopt;
    }
    u64 size = std::min(old_bytes.size(), new_bytes.size());
    u64 place = 0;
    for (usize i = 0;; ++i) {
        bool old_has = i < before.references.size();
        bool new_has = i < after.references.size();
        u64 old_field = old_has ? before.references[i].at : size;
        u64 new_field = new_has ? after.references[i].at : size;
        u64 field = std::min({old_field, new_field, size});
        for (u64 byte = place; byte < field; ++byte) {
            if (old_bytes[byte] != new_bytes[byte]) return differs_at(byte, "other initial value");
        }
        if (field == size && (!old_has || old_field >= size) && (!new_has || new_field >= size)) break;
        if (old_field != new_field || !same_type(before.references[i].type, after.references[i].type))
            return differs_at(field, "other initial value");
        if (!same_target(before.references[i], after.references[i])) {
            Difference difference = differs_at(field, "");
            difference.what = what_differs(before.references[i], after.references[i]);
            return difference;
        }
        place = std::min(size, field + field_size(before.references[i]));
    }
    if (old_bytes.size() != new_bytes.size()) return differs_at(size, "other size");
    return std::nullopt;
}

}  // namespace graft::differ
