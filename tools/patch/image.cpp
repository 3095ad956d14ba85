#include "tools/patch/image.h"

#include <cxxabi.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace graft::tools {
namespace {

using formats::ImageSymbol;
using formats::SymbolType;

constexpr std::string_view kTablesSection = ".graft_tables";

struct ElfDeleter {
    void operator()(Elf* elf) const { ::elf_end(elf); }
};

}  // namespace

std::string readable(std::string_view linkage_name) {
    std::string text = demangled(linkage_name);
    if (text == linkage_name) return fmt::format("'{}'", text);
    return fmt::format("'{}' ({})", text, linkage_name);
}

std::string demangled(std::string_view linkage_name) {
    std::string name(linkage_name);
    if (!name.starts_with("_Z")) return name;  // `i` would be demangled, too: as a type
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    if (status != 0 || !text) return name;
    std::string result(text);
    std::free(text);
    return result;
}

PackResult<Image> Image::open(std::vector<std::byte> file, const std::string& path) {
    Image image(path);
    GRAFT_CHECK(image.read(std::move(file)));
    return image;
}

PackResult<void> Image::read(std::vector<std::byte> file) {
    auto not_an_image = [&](std::string_view why) { return pack_error(fmt::format("{}: {}", path_, why)); };
    file_ = std::make_shared<const std::vector<std::byte>>(std::move(file));
    std::span<const std::byte> bytes(*file_);
    std::vector<std::byte> copy(bytes.begin(), bytes.end());
    ::elf_version(EV_CURRENT);
    std::unique_ptr<Elf, ElfDeleter> elf(::elf_memory(reinterpret_cast<char*>(copy.data()), copy.size()));
    GElf_Ehdr header;
    if (!elf || ::elf_kind(elf.get()) != ELF_K_ELF || !::gelf_getehdr(elf.get(), &header) || header.e_type != ET_EXEC ||
        header.e_machine != EM_X86_64)
        return not_an_image("not an x86-64 ELF image");

    auto inside = [&](u64 offset, u64 size) { return offset <= bytes.size() && size <= bytes.size() - offset; };
    for (int i = 0; i < header.e_phnum; ++i) {
        GElf_Phdr segment;
        if (!::gelf_getphdr(elf.get(), i, &segment) || segment.p_type != PT_LOAD) continue;
        if (!inside(segment.p_offset, segment.p_filesz)) return not_an_image("a segment lies outside the file");
        segments_.push_back({segment.p_vaddr, bytes.subspan(segment.p_offset, segment.p_filesz)});
    }

    usize names = 0;
    ::elf_getshdrstrndx(elf.get(), &names);
    for (Elf_Scn* section = nullptr; (section = ::elf_nextscn(elf.get(), section)) != nullptr;) {
        GElf_Shdr section_header;
        if (!::gelf_getshdr(section, &section_header) || section_header.sh_type == SHT_NOBITS) continue;
        const char* name = ::elf_strptr(elf.get(), names, section_header.sh_name);
        if (!name || name != kTablesSection) continue;
        if (!inside(section_header.sh_offset, section_header.sh_size))
            return not_an_image("its tables lie outside the file");
        auto tables = formats::ImageTables::open(bytes.subspan(section_header.sh_offset, section_header.sh_size));
        if (!tables) return not_an_image("its tables are damaged, or made by another version");
        tables_ = *tables;
    }
    if (!tables_) return not_an_image("not an image that can be patched: it has no section .graft_tables");
    return {};
}

std::vector<u32> Image::named(std::string_view name) const {
    std::vector<u32> found;
    auto matches = tables_->find_name(name);
    for (u32 i = 0; i < matches.count; ++i) {
        u32 index = tables_->name_order(matches.first + i);
        if (tables_->symbol(index).type != SymbolType::mark) found.push_back(index);
    }
    return found;
}

// One of the candidates, all of one name: by position, or the only one there is (aliases of one address are one).
PackResult<u32> Image::choose(std::string_view name, const std::vector<u32>& candidates, u32 position) const {
    for (u32 index : candidates) {
        if (position != 0 && tables_->symbol(index).position == position) return index;
    }
    bool same_address = std::all_of(candidates.begin(), candidates.end(), [&](u32 index) {
        return tables_->symbol(index).offset == tables_->symbol(candidates.front()).offset;
    });
    if (position == 0 && same_address) return candidates.front();

    std::string places;
    for (u32 index : candidates) {
        ImageSymbol symbol = tables_->symbol(index);
        places +=
            fmt::format("{}{} at {:#x}", places.empty() ? "" : ", ", symbol.position, tables_->address(symbol).value);
    }
    if (position == 0)
        return pack_error(
            fmt::format("{}: ambiguous in {}; give one of its positions: {}", readable(name), path_, places));
    return pack_error(fmt::format("{}: no position {} in {}; it has {}", readable(name), position, path_, places));
}

PackResult<ImageFunction> Image::function(std::string_view name, u32 position) const {
    std::vector<u32> candidates;
    for (u32 index : named(name)) {
        if (tables_->symbol(index).type == SymbolType::function) candidates.push_back(index);
    }
    if (candidates.empty()) return pack_error(fmt::format("{}: no such function in {}", readable(name), path_));
    return describe(name, GRAFT_TRY(choose(name, candidates, position)));
}

PackResult<ImageFunction> Image::function_at(VirtAddr entry) const {
    auto index = tables_->function_at_entry(entry);
    if (!index) return pack_error(fmt::format("{}: no function begins at {:#x}", path_, entry.value));
    return describe(tables_->name(tables_->symbol(*index)), *index);
}

PackResult<ImageFunction> Image::describe(std::string_view name, u32 index) const {
    ImageSymbol symbol = tables_->symbol(index);
    if (symbol.has(formats::kSymbolChild))
        return pack_error(fmt::format("{}: only a part of {}; name that function", readable(name),
                                      readable(tables_->name(tables_->symbol(symbol.parent)))));

    ImageFunction function{.name = std::string(name),
                           .entry = tables_->address(symbol),
                           .position = symbol.position,
                           .has_site = symbol.has(formats::kSymbolHasSite),
                           .no_patch = symbol.has(formats::kSymbolNoPatch),
                           .has_return = symbol.has(formats::kSymbolHasReturn),
                           .init_text = symbol.has(formats::kSymbolInitText),
                           .parts = {}};
    GRAFT_CHECK(add_part(function, symbol));
    // Parts belong to the canonical symbol of the address.
    u32 canonical = tables_->function_at_entry(function.entry).value_or(index);
    for (auto part = tables_->next_part(canonical, canonical); part; part = tables_->next_part(canonical, *part))
        GRAFT_CHECK(add_part(function, tables_->symbol(*part)));
    std::sort(function.parts.begin(), function.parts.end(),
              [](const auto& left, const auto& right) { return left.begin < right.begin; });
    return function;
}

PackResult<void> Image::add_part(ImageFunction& function, const ImageSymbol& symbol) const {
    AddressRange range = tables_->range(symbol);
    if (range.empty()) return pack_error(fmt::format("{}: has no size in {}", readable(function.name), path_));
    std::span<const std::byte> found = bytes(range.begin, range.size());
    if (found.empty())
        return pack_error(
            fmt::format("{}: its bytes at {:#x} aren't in {}", readable(function.name), range.begin.value, path_));
    function.parts.push_back({range.begin, found});
    return {};
}

std::span<const std::byte> Image::bytes(VirtAddr address, u64 size) const {
    for (const Segment& segment : segments_) {
        if (address.value < segment.address) continue;
        u64 offset = address.value - segment.address;
        if (offset <= segment.bytes.size() && size <= segment.bytes.size() - offset)
            return segment.bytes.subspan(offset, size);
    }
    return {};
}

PackResult<VirtAddr> Image::address_of(std::string_view name, u32 position) const {
    std::vector<u32> all = named(name);
    if (all.empty()) return pack_error(fmt::format("{}: undefined, and no such symbol in {}", readable(name), path_));
    std::vector<u32> global;
    for (u32 index : all) {
        if (!tables_->symbol(index).has(formats::kSymbolLocal)) global.push_back(index);
    }
    const auto& candidates = position == 0 && !global.empty() ? global : all;
    u32 index = GRAFT_TRY(choose(name, candidates, position));
    return tables_->address(tables_->symbol(index));
}

std::optional<VirtAddr> Image::visible(std::string_view name) const {
    auto matches = tables_->find_name(name);
    for (u32 i = 0; i < matches.count; ++i) {
        ImageSymbol symbol = tables_->symbol(tables_->name_order(matches.first + i));
        if (!symbol.has(formats::kSymbolLocal)) return tables_->address(symbol);
    }
    return std::nullopt;
}

bool Image::has_symbol(std::string_view name, VirtAddr address) const {
    auto matches = tables_->find_name(name);
    for (u32 i = 0; i < matches.count; ++i) {
        if (tables_->address(tables_->symbol(tables_->name_order(matches.first + i))) == address) return true;
    }
    return false;
}

bool Image::is_init_text(VirtAddr entry) const {
    auto index = tables_->function_at_entry(entry);
    return index && tables_->symbol(*index).has(formats::kSymbolInitText);
}

Image::Place Image::place_at(VirtAddr address) const {
    auto index = tables_->symbol_at(address);
    if (!index) return {};
    ImageSymbol symbol = tables_->symbol(*index);
    return {.name = std::string(tables_->name(symbol)), .offset = address - tables_->address(symbol)};
}

bool Image::defines_global(std::string_view name) const {
    std::vector<u32> all = named(name);
    return std::any_of(all.begin(), all.end(),
                       [&](u32 index) { return !tables_->symbol(index).has(formats::kSymbolLocal); });
}

}  // namespace graft::tools
