#include "tests/sim/object_builder.h"

#include <cstring>

namespace graft::sim {

namespace {

template <typename T>
void append(Bytes& out, const T& value) {
    auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out.insert(out.end(), bytes, bytes + sizeof(T));
}

Bytes bytes_of(const std::string& text) {
    auto* bytes = reinterpret_cast<const std::byte*>(text.data());
    return {bytes, bytes + text.size()};
}

template <typename T>
Bytes bytes_of(const std::vector<T>& items) {
    auto* bytes = reinterpret_cast<const std::byte*>(items.data());
    return {bytes, bytes + items.size() * sizeof(T)};
}

}  // namespace

ObjectBuilder::ObjectBuilder() : sections_(1), symbols_(1) {}

u32 ObjectBuilder::add_section(std::string name, u32 type, u64 flags, Bytes contents, u64 alignment) {
    BuiltSection section;
    section.name = std::move(name);
    section.header.type = type;
    section.header.flags = flags;
    section.header.size = contents.size();
    section.header.alignment = alignment;
    section.contents = std::move(contents);
    sections_.push_back(std::move(section));
    return static_cast<u32>(sections_.size() - 1);
}

u32 ObjectBuilder::add_symbol(std::string name, u16 section, u64 value, u64 size, u8 binding, u8 type) {
    elf::Symbol symbol{};
    symbol.name = name.empty() ? 0 : static_cast<u32>(strings_.size());
    if (!name.empty()) strings_ += name + '\0';
    symbol.info = static_cast<u8>(binding << 4 | type);
    symbol.section = section;
    symbol.value = value;
    symbol.size = size;
    symbols_.push_back(symbol);
    return static_cast<u32>(symbols_.size() - 1);
}

void ObjectBuilder::add_relocation(u32 section, u64 offset, u32 type, u32 symbol, i64 addend) {
    sections_[section].relocations.push_back({offset, u64{symbol} << 32 | type, addend});
}

BuiltSection* ObjectBuilder::find_section(const std::string& name) {
    for (auto& section : sections_) {
        if (section.name == name) return &section;
    }
    return nullptr;
}

Bytes ObjectBuilder::build() {
    std::vector<BuiltSection> all = sections_;
    u32 symbols_at = static_cast<u32>(all.size());
    BuiltSection symbols;
    symbols.name = ".symtab";
    symbols.contents = bytes_of(symbols_);
    symbols.header.type = elf::kSectionSymbols;
    symbols.header.link = symbols_at + 1;
    symbols.header.entry_size = sizeof(elf::Symbol);
    all.push_back(symbols);
    BuiltSection strings;
    strings.name = ".strtab";
    strings.contents = bytes_of(strings_);
    strings.header.type = elf::kSectionStrings;
    all.push_back(strings);
    for (u32 i = 0; i < sections_.size(); ++i) {
        if (sections_[i].relocations.empty()) continue;
        BuiltSection table;
        table.name = ".rela" + sections_[i].name;
        table.contents = bytes_of(sections_[i].relocations);
        table.header.type = elf::kSectionRela;
        table.header.flags = elf::kFlagInfoLink;
        table.header.link = symbols_at;
        table.header.info = i;
        table.header.entry_size = sizeof(elf::Rela);
        all.push_back(table);
    }
    BuiltSection names;
    names.name = ".shstrtab";
    names.header.type = elf::kSectionStrings;
    all.push_back(names);

    std::string name_bytes(1, '\0');
    for (auto& section : all) {
        section.header.name = section.name.empty() ? 0 : static_cast<u32>(name_bytes.size());
        if (!section.name.empty()) name_bytes += section.name + '\0';
    }
    all.back().contents = bytes_of(name_bytes);

    Bytes out(sizeof(elf::Header));
    std::vector<elf::Section> headers;
    for (auto& section : all) {
        if (section.header.type != elf::kSectionZeros && section.header.size < section.contents.size()) {
            section.header.size = section.contents.size();
        }
        section.header.offset = out.size();
        out.insert(out.end(), section.contents.begin(), section.contents.end());
        headers.push_back(section.header);
    }
    headers[0] = {};
    elf::Header header{};
    std::memcpy(header.ident.data(), elf::kIdent.data(), elf::kIdent.size());
    header.type = elf::kTypeRelocatable;
    header.machine = elf::kMachineX86_64;
    header.version = 1;
    header.header_size = sizeof(elf::Header);
    header.section_headers = out.size();
    header.section_header_size = sizeof(elf::Section);
    header.section_header_count = static_cast<u16>(headers.size());
    header.name_section = static_cast<u16>(headers.size() - 1);
    if (spoil_header) spoil_header(header);
    if (spoil_sections) spoil_sections(headers);
    std::memcpy(out.data(), &header, sizeof(header));
    for (auto& section : headers) append(out, section);
    return out;
}

}  // namespace graft::sim
