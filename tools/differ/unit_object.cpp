#include "tools/differ/unit_object.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "formats/klp_declare.h"
#include "tools/differ/instructions.h"
#include "tools/differ/names.h"

namespace graft::differ {
namespace {

// Sections that a program is made of, without what the emitter makes anew for each patch.
bool is_compared(const ObjectSection& section) {
    return (section.flags & SHF_ALLOC) != 0 && section.type != SHT_NOTE && !section.name.starts_with(".note.") &&
           section.name != ".eh_frame" && section.name != formats::kDeclarationSection;
}

bool is_code(const ObjectSection& section) {
    return (section.flags & SHF_EXECINSTR) != 0;
}

bool is_writable(const ObjectSection& section) {
    return (section.flags & SHF_WRITE) != 0 && !section.name.starts_with(".data.rel.ro");
}

bool is_pc_relative(u32 type) {
    return type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_PC64;
}

u64 field_size(u32 type) {
    return type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4;
}

constexpr u64 kShortLiteral = 16;  // a base address with a folded index looks like a literal shorter than that

}  // namespace

// Builds a UnitObject step by step.
class UnitReader {
public:
    explicit UnitReader(UnitObject& unit) : unit_(unit), object_(unit.object_) {}

    PackResult<void> read() {
        unit_.items_.emplace_back();
        unit_.by_section_.resize(object_.sections.size());
        GRAFT_CHECK(add_symbols());
        for (u32 section = 1; section < object_.sections.size(); ++section) add_gaps(section);
        add_undefined();
        for (u32 section = 1; section < object_.sections.size(); ++section) GRAFT_CHECK(add_references(section));
        find_literals();
        return {};
    }

private:
    std::unexpected<PackError> bad(std::string_view what, std::string_view why) const {
        return tools::pack_error(fmt::format("{}: {}: {}", object_.path, what, why));
    }

    PackResult<void> add_symbols();
    void add_section_symbols(u32 section, std::vector<u32>& symbols);
    void add_gaps(u32 section);
    void add_gap(u32 section, u64 begin, u64 end);
    void add_undefined();
    PackResult<void> add_references(u32 section);
    PackResult<Reference> resolve(const Item& item, const ObjectRelocation& relocation,
                                  const std::vector<u64>& starts) const;
    void find_literals();
    Item make_item(u32 section, u64 begin, u64 end) const;
    u32 add(Item item);
    void name(const std::string& name, u32 item) {
        if (!name.empty()) unit_.names_.emplace(name, item);
    }

    UnitObject& unit_;
    Object& object_;
};

Item UnitReader::make_item(u32 section, u64 begin, u64 end) const {
    const ObjectSection& in = object_.sections[section];
    Item item;
    item.name = in.name;
    item.section = section;
    item.offset = begin;
    item.size = end - begin;
    item.alignment = in.alignment;
    item.local = true;
    item.writable = is_writable(in);
    item.zero = in.type == SHT_NOBITS;
    item.merged = (in.flags & SHF_MERGE) != 0;
    item.strings = (in.flags & SHF_STRINGS) != 0;
    if (in.type == SHT_INIT_ARRAY || in.type == SHT_FINI_ARRAY || in.type == SHT_PREINIT_ARRAY)
        item.kind = ItemKind::table;
    else if (is_code(in))
        item.kind = ItemKind::function;
    else
        item.kind = item.writable || item.zero ? ItemKind::data : ItemKind::content;
    return item;
}

u32 UnitReader::add(Item item) {
    auto index = static_cast<u32>(unit_.items_.size());
    if (item.section != 0) unit_.by_section_[item.section].push_back(index);
    unit_.items_.push_back(std::move(item));
    return index;
}

PackResult<void> UnitReader::add_symbols() {
    std::vector<std::vector<u32>> by_section(object_.sections.size());
    for (u32 i = 1; i < object_.symbols.size(); ++i) {
        const ObjectSymbol& symbol = object_.symbols[i];
        if (symbol.is_undefined() || symbol.type == STT_FILE || symbol.type == STT_SECTION) continue;
        if (symbol.section == SHN_COMMON) return bad(symbol.name, "a common symbol; compile with -fno-common");
        if (symbol.is_special()) continue;
        const ObjectSection& section = object_.sections[symbol.section];
        if (!is_compared(section)) continue;
        if (symbol.value > section.size || symbol.size > section.size - symbol.value)
            return bad(symbol.name, "reaches past the end of its section");
        if ((section.flags & SHF_TLS) != 0) return bad(symbol.name, "thread-local data can't be patched in");
        by_section[symbol.section].push_back(i);
    }
    for (u32 section = 1; section < by_section.size(); ++section) add_section_symbols(section, by_section[section]);
    return {};
}

// The largest symbol of a place is the item; others of the place, and those inside, are further names of it.
void UnitReader::add_section_symbols(u32 section, std::vector<u32>& symbols) {
    std::stable_sort(symbols.begin(), symbols.end(), [&](u32 left, u32 right) {
        const ObjectSymbol& a = object_.symbols[left];
        const ObjectSymbol& b = object_.symbols[right];
        if (a.value != b.value) return a.value < b.value;
        if (a.size != b.size) return a.size > b.size;
        if ((a.binding == STB_LOCAL) != (b.binding == STB_LOCAL)) return b.binding == STB_LOCAL;
        return a.name < b.name;
    });
    u32 current = 0;
    for (u32 index : symbols) {
        const ObjectSymbol& symbol = object_.symbols[index];
        if (current != 0) {
            Item& item = unit_.items_[current];
            if (symbol.value < item.end() || (symbol.value == item.offset && symbol.size == 0)) {
                if (symbol.value == item.offset) item.aliases.push_back(symbol.name);
                if (symbol.value == item.offset) name(symbol.name, current);
                continue;
            }
        }
        Item item = make_item(section, symbol.value, symbol.value + symbol.size);
        item.name = symbol.name;
        item.symbol = index;
        item.local = symbol.binding == STB_LOCAL;
        item.weak = symbol.binding == STB_WEAK || symbol.binding == STB_GNU_UNIQUE;
        if (item.kind == ItemKind::content && !item.merged && !names_content(symbol.name))
            item.kind = ItemKind::constant;
        current = add(std::move(item));
        name(symbol.name, current);
    }
}

void UnitReader::add_gaps(u32 section) {
    const ObjectSection& in = object_.sections[section];
    if (!is_compared(in)) return;
    std::vector<u32> named = unit_.by_section_[section];
    if (named.empty()) {
        if (in.size != 0) add_gap(section, 0, in.size);
        return;
    }
    if (is_code(in)) {
        // Labels without a size reach to the next one.
        for (usize i = 0; i < named.size(); ++i) {
            Item& item = unit_.items_[named[i]];
            u64 end = i + 1 < named.size() ? unit_.items_[named[i + 1]].offset : in.size;
            if (item.size == 0) item.size = end - item.offset;
        }
        return;
    }
    u64 at = 0;
    for (u32 index : named) {
        u64 begin = unit_.items_[index].offset;
        u64 end = unit_.items_[index].end();
        if (begin > at) add_gap(section, at, begin);
        at = std::max(at, end);
    }
    if (in.size > at) add_gap(section, at, in.size);
    auto& all = unit_.by_section_[section];
    std::stable_sort(all.begin(), all.end(),
                     [&](u32 left, u32 right) { return unit_.items_[left].offset < unit_.items_[right].offset; });
}

void UnitReader::add_gap(u32 section, u64 begin, u64 end) {
    add(make_item(section, begin, end));
}

void UnitReader::add_undefined() {
    for (u32 i = 1; i < object_.symbols.size(); ++i) {
        const ObjectSymbol& symbol = object_.symbols[i];
        if (!symbol.is_undefined() || symbol.name.empty()) continue;
        Item item;
        item.kind = ItemKind::undefined;
        item.name = symbol.name;
        item.symbol = i;
        name(symbol.name, add(std::move(item)));
    }
}

PackResult<void> UnitReader::add_references(u32 section) {
    const ObjectSection& in = object_.sections[section];
    if (!is_compared(in) || in.relocations.empty()) {
        return {};
    }
    std::vector<ObjectRelocation> relocations = in.relocations;
    std::stable_sort(relocations.begin(), relocations.end(),
                     [](const auto& left, const auto& right) { return left.offset < right.offset; });
    u32 current = 0;
    std::vector<u64> starts;
    for (const ObjectRelocation& relocation : relocations) {
        if (relocation.offset >= in.size || field_size(relocation.type) > in.size - relocation.offset)
            return bad(in.name, fmt::format("a relocation at {:#x} lies outside the section", relocation.offset));
        u32 index = unit_.at(section, static_cast<i64>(relocation.offset));
        Item& item = unit_.items_[index];
        if (relocation.offset < item.offset || relocation.offset + field_size(relocation.type) > item.end())
            return bad(in.name, fmt::format("a relocation at {:#x} belongs to nothing", relocation.offset));
        if (index != current) {
            current = index;
            starts.clear();
            if (item.is_function()) {
                auto decoded = instruction_starts(unit_.bytes(item));
                item.undecoded = !decoded;
                if (decoded) starts = std::move(*decoded);
            }
        }
        Reference reference = GRAFT_TRY(resolve(item, relocation, starts));
        if (!item.references.empty() && reference.at < item.references.back().at + 4)
            return bad(in.name, fmt::format("relocations overlap at {:#x}", relocation.offset));
        item.references.push_back(reference);
    }
    return {};
}

PackResult<Reference> UnitReader::resolve(const Item& item, const ObjectRelocation& relocation,
                                          const std::vector<u64>& starts) const {
    const ObjectSymbol& symbol = object_.symbols[relocation.symbol];
    Reference reference{.at = relocation.offset - item.offset,
                        .type = relocation.type,
                        .target = 0,
                        .target_offset = 0,
                        .bias = 0,
                        .symbol = relocation.symbol,
                        .addend = relocation.addend};
    if (is_pc_relative(relocation.type) && item.is_function())
        reference.bias =
            starts.empty() ? 4 : static_cast<u32>(instruction_end(starts, reference.at, item.size) - reference.at);
    i64 addend = relocation.addend + reference.bias;
    if (symbol.is_undefined()) {
        reference.target = unit_.find(symbol.name);
        reference.target_offset = addend;
        if (reference.target == 0) return bad(item.name, "refers to a symbol without a name");
        return reference;
    }
    if (symbol.is_special()) return bad(item.name, fmt::format("refers to the absolute symbol '{}'", symbol.name));
    if (!is_compared(object_.sections[symbol.section]))
        return bad(item.name, fmt::format("refers to section '{}', which isn't part of the program",
                                          object_.sections[symbol.section].name));
    i64 place = static_cast<i64>(symbol.value) + addend;
    // A symbol of its own says which item is meant even when the place lies beyond it.
    i64 anchor = symbol.type == STT_SECTION ? place : static_cast<i64>(symbol.value);
    reference.target = unit_.at(symbol.section, anchor);
    if (reference.target == 0)
        return bad(item.name, fmt::format("refers into the empty section '{}'", object_.sections[symbol.section].name));
    reference.target_offset = place - static_cast<i64>(unit_.items_[reference.target].offset);
    return reference;
}

// Where the literals of a content item start can only be told from the references to them.
void UnitReader::find_literals() {
    std::map<u32, std::map<u64, std::set<u32>>> users;  // item → place → who refers there
    for (u32 i = 1; i < unit_.items_.size(); ++i) {
        for (const Reference& reference : unit_.items_[i].references) {
            const Item& target = unit_.items_[reference.target];
            if (target.kind != ItemKind::content || target.merged) continue;
            i64 place = std::clamp<i64>(reference.target_offset, 0, static_cast<i64>(target.size));
            users[reference.target][static_cast<u64>(place)].insert(i);
        }
    }
    for (auto& [item, places] : users) {
        std::vector<u64>& starts = unit_.literals_[item];
        starts.push_back(0);
        const std::set<u32>* before = nullptr;
        for (auto& [place, who] : places) {
            bool shared = before && std::any_of(who.begin(), who.end(), [&](u32 one) { return before->contains(one); });
            before = &who;
            if (place == 0 || shared || place - starts.back() < kShortLiteral) continue;
            if (place < unit_.items_[item].size) starts.push_back(place);
        }
    }
}

PackResult<UnitObject> UnitObject::read(std::span<const std::byte> bytes, const std::string& path) {
    UnitObject unit;
    unit.object_ = GRAFT_TRY(tools::read_object(bytes, path));
    GRAFT_CHECK(UnitReader(unit).read());
    return unit;
}

UnitObject UnitObject::none(const std::string& path) {
    UnitObject unit;
    unit.object_.path = path;
    unit.object_.sections.emplace_back();
    unit.object_.symbols.emplace_back();
    unit.items_.emplace_back();
    unit.by_section_.resize(1);
    return unit;
}

std::span<const std::byte> UnitObject::bytes(const Item& item) const {
    if (item.section == 0 || item.zero) return {};
    return std::span(object_.sections[item.section].contents).subspan(item.offset, item.size);
}

u32 UnitObject::find(std::string_view name) const {
    auto found = names_.find(name);
    return found == names_.end() ? 0 : found->second;
}

u32 UnitObject::at(u32 section, i64 offset) const {
    const std::vector<u32>& items = by_section_[section];
    if (items.empty()) return 0;
    auto next = std::upper_bound(items.begin(), items.end(), offset,
                                 [&](i64 place, u32 item) { return place < static_cast<i64>(items_[item].offset); });
    return next == items.begin() ? items.front() : *(next - 1);
}

UnitObject::Stretch UnitObject::stretch(const Item& item, i64 offset) const {
    if (item.size == 0) return {};
    u64 place = static_cast<u64>(std::clamp<i64>(offset, 0, static_cast<i64>(item.size) - 1));
    if (item.merged && item.strings) return string_at(item, place);
    if (item.merged) {
        u64 unit = std::max<u64>(1, section_of(item).entry_size);
        u64 begin = place / unit * unit;
        return {begin, std::min(item.size, begin + unit)};
    }
    auto literals = literals_.find(static_cast<u32>(&item - items_.data()));
    if (literals == literals_.end()) return {0, item.size};
    const std::vector<u64>& starts = literals->second;
    auto next = std::upper_bound(starts.begin(), starts.end(), place);
    return {*(next - 1), next == starts.end() ? item.size : *next};
}

// The string that starts at `place`. A place inside of a string may be a base address with a folded index, of the next
// string: then both count.
UnitObject::Stretch UnitObject::string_at(const Item& item, u64 place) const {
    std::span<const std::byte> all = bytes(item);
    u64 unit = std::max<u64>(1, section_of(item).entry_size);
    auto ends = [&](u64 at) {  // is the character at `at` a terminator
        for (u64 i = at; i < std::min<u64>(at + unit, all.size()); ++i) {
            if (all[i] != std::byte{0}) return false;
        }
        return true;
    };
    auto end_of = [&](u64 at) {
        while (at < all.size() && !ends(at)) at += unit;
        return std::min<u64>(at + unit, all.size());
    };
    u64 at = place / unit * unit;
    if (at == 0 || ends(at - unit)) return {at, end_of(at)};
    u64 begin = at;
    while (begin > 0 && !ends(begin - unit)) begin -= unit;
    u64 end = end_of(at);
    return {begin, end < all.size() ? end_of(end) : end};
}

}  // namespace graft::differ
