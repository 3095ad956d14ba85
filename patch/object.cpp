#include "patch/object.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "formats/klp.h"
#include "patch/memory.h"

namespace graft::patch {

namespace {

bool has_contents(const elf::Section& section) {
    return section.type != elf::kSectionNull && section.type != elf::kSectionZeros && section.size != 0;
}

// `strings` ends with a NUL, so the text does too.
std::string_view text_at(std::span<const std::byte> strings, u32 offset, usize limit) {
    auto* begin = reinterpret_cast<const char*>(strings.data()) + offset;
    usize room = strings.size() - offset;
    usize most = room < limit ? room : limit;
    usize length = 0;
    while (length < most && begin[length] != '\0') ++length;
    return {begin, length};
}

bool is_string_table(std::span<const std::byte> bytes) {
    return !bytes.empty() && bytes.back() == std::byte{0};
}

constexpr usize kMaxSectionName = 255;

struct Extent {
    u64 begin;
    u64 end;
    u32 section;
};

}  // namespace

template <typename T>
T Object::load(u64 offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
}

RefusalResult<Object> Object::open(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(elf::Header)) {
        return refuse(RefusalCode::not_an_object, {}, 0, bytes.size(), sizeof(elf::Header));
    }
    Object object;
    object.bytes_ = bytes;
    auto header = object.load<elf::Header>(0);
    for (usize i = 0; i < elf::kIdent.size(); ++i) {
        if (header.ident[i] != elf::kIdent[i])
            return refuse(RefusalCode::not_an_object, {}, i, header.ident[i], elf::kIdent[i]);
    }
    if (header.type != elf::kTypeRelocatable) {
        return refuse(RefusalCode::not_an_object, {}, offsetof(elf::Header, type), header.type, elf::kTypeRelocatable);
    }
    if (header.machine != elf::kMachineX86_64) {
        return refuse(RefusalCode::wrong_machine, {}, offsetof(elf::Header, machine), header.machine,
                      elf::kMachineX86_64);
    }
    GRAFT_CHECK(object.open_sections(header));
    return object;
}

RefusalResult<void> Object::open_sections(const elf::Header& header) {
    constexpr u64 kHeaderSizeAt = offsetof(elf::Header, section_header_size);
    if (header.section_header_size != sizeof(elf::Section)) {
        return refuse(RefusalCode::bad_section_table, {}, kHeaderSizeAt, header.section_header_size,
                      sizeof(elf::Section));
    }
    if (header.section_header_count > formats::kKlpMaxSections) {
        return refuse(RefusalCode::too_many_sections, {}, 0, header.section_header_count, formats::kKlpMaxSections);
    }
    u64 table_size = u64{header.section_header_count} * sizeof(elf::Section);
    auto table_end = checked_add<u64>(header.section_headers, table_size);
    if (!table_end || *table_end > bytes_.size()) {
        return refuse(RefusalCode::bad_section_table, {}, offsetof(elf::Header, section_headers),
                      header.section_headers, bytes_.size());
    }
    section_headers_ = header.section_headers;
    section_count_ = header.section_header_count;

    for (u32 i = 0; i < section_count_; ++i) {
        auto at = section(i);
        if (!has_contents(at)) continue;
        auto end = checked_add<u64>(at.offset, at.size);
        if (!end || *end > bytes_.size()) return refuse(RefusalCode::bad_section, {}, i, at.offset, bytes_.size());
    }
    if (header.name_section >= section_count_) {
        return refuse(RefusalCode::bad_section_table, {}, offsetof(elf::Header, name_section), header.name_section,
                      section_count_);
    }
    auto names = section(header.name_section);
    section_names_ = contents(names);
    if (names.type != elf::kSectionStrings || !is_string_table(section_names_)) {
        return refuse(RefusalCode::bad_section_table, {}, offsetof(elf::Header, name_section), names.type,
                      elf::kSectionStrings);
    }
    for (u32 i = 0; i < section_count_; ++i) {
        u32 name = section(i).name;
        if (name >= section_names_.size()) {
            u64 at = section_headers_ + u64{i} * sizeof(elf::Section);
            return refuse(RefusalCode::bad_section_table, {}, at, name, section_names_.size());
        }
    }
    return {};
}

elf::Section Object::section(u32 index) const {
    return load<elf::Section>(section_headers_ + u64{index} * sizeof(elf::Section));
}

std::string_view Object::section_name(const elf::Section& section) const {
    return text_at(section_names_, section.name, kMaxSectionName);
}

std::span<const std::byte> Object::contents(const elf::Section& section) const {
    if (!has_contents(section)) return {};
    return bytes_.subspan(section.offset, section.size);
}

RefusalResult<void> Object::check_overlaps(Machine& machine) const {
    RecordArray<Extent> extents;
    if (!extents.create(machine, section_count_ + 2)) return refuse(RefusalCode::no_memory);
    usize count = 0;
    extents[count++] = {0, sizeof(elf::Header), 0};
    extents[count++] = {section_headers_, section_headers_ + u64{section_count_} * sizeof(elf::Section), 0};
    for (u32 i = 0; i < section_count_; ++i) {
        auto at = section(i);
        if (has_contents(at)) extents[count++] = {at.offset, at.offset + at.size, i};
    }
    std::sort(extents.begin(), extents.begin() + count,
              [](const Extent& left, const Extent& right) { return left.begin < right.begin; });
    for (usize i = 1; i < count; ++i) {
        if (extents[i].begin >= extents[i - 1].end) continue;
        u32 named = extents[i].section != 0 ? extents[i].section : extents[i - 1].section;
        return refuse(RefusalCode::overlapping_sections, section_name(section(named)), named, extents[i].begin,
                      extents[i - 1].end);
    }
    return {};
}

RefusalResult<void> Object::use_symbols() {
    u32 found = 0;
    for (u32 i = 0; i < section_count_; ++i) {
        if (section(i).type != elf::kSectionSymbols) continue;
        symbol_section_ = i;
        ++found;
    }
    if (found != 1) return refuse(RefusalCode::no_symbols, {}, 0, found, 1);

    auto table = section(symbol_section_);
    if (table.entry_size != sizeof(elf::Symbol) || table.size % sizeof(elf::Symbol) != 0) {
        return refuse(RefusalCode::bad_symbol_table, section_name(table), symbol_section_, table.entry_size,
                      sizeof(elf::Symbol));
    }
    u64 count = table.size / sizeof(elf::Symbol);
    if (count > formats::kKlpMaxSymbols)
        return refuse(RefusalCode::too_many_symbols, {}, 0, count, formats::kKlpMaxSymbols);
    if (table.link >= section_count_ || section(table.link).type != elf::kSectionStrings) {
        return refuse(RefusalCode::bad_symbol_table, section_name(table), symbol_section_, table.link, section_count_);
    }
    strings_ = contents(section(table.link));
    if (!is_string_table(strings_)) {
        return refuse(RefusalCode::bad_symbol_table, section_name(table), table.link, strings_.size(), 1);
    }
    symbols_ = contents(table);
    symbol_count_ = static_cast<u32>(count);
    return {};
}

elf::Symbol Object::symbol(u32 index) const {
    elf::Symbol symbol;
    std::memcpy(&symbol, symbols_.data() + usize{index} * sizeof(elf::Symbol), sizeof(symbol));
    return symbol;
}

std::string_view Object::symbol_name(const elf::Symbol& symbol) const {
    return text_at(strings_, symbol.name, formats::kKlpMaxSymbolName + 1);
}

}  // namespace graft::patch
