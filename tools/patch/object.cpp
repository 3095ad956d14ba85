#include "tools/patch/object.h"

#include <gelf.h>
#include <libelf.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>

#include <fmt/format.h>

namespace graft::tools {
namespace {

struct ElfDeleter {
    void operator()(Elf* elf) const { ::elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfDeleter>;

// What reading needs besides the object: where a section of the file went, if it was kept.
struct Reading {
    Elf* elf;
    Object object;
    std::vector<u32> place;  // by section index of the file; 0 = not kept
    usize symbol_table = 0;  // section index of the file
};

bool is_table(u32 type) {
    return type == SHT_SYMTAB || type == SHT_STRTAB || type == SHT_RELA || type == SHT_REL || type == SHT_NULL ||
           type == SHT_SYMTAB_SHNDX;
}

PackResult<void> check_header(Elf* elf, const std::string& path) {
    GElf_Ehdr header;
    if (!elf || ::elf_kind(elf) != ELF_K_ELF || !::gelf_getehdr(elf, &header))
        return pack_error(fmt::format("{}: not an ELF object", path));
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64)
        return pack_error(fmt::format("{}: not an x86-64 object", path));
    if (header.e_type != ET_REL)
        return pack_error(
            fmt::format("{}: ELF type {}: expected a relocatable object (compile with -c)", path, header.e_type));
    return {};
}

PackResult<void> read_sections(Reading& reading, const std::string& path) {
    usize count = 0;
    usize names = 0;
    if (::elf_getshdrnum(reading.elf, &count) != 0 || ::elf_getshdrstrndx(reading.elf, &names) != 0)
        return pack_error(fmt::format("{}: no section table", path));
    reading.place.assign(count, 0);
    reading.object.sections.emplace_back();
    for (usize index = 1; index < count; ++index) {
        GElf_Shdr header;
        Elf_Scn* section = ::elf_getscn(reading.elf, index);
        if (!section || !::gelf_getshdr(section, &header))
            return pack_error(fmt::format("{}: section {}: header unreadable", path, index));
        if (header.sh_type == SHT_SYMTAB) reading.symbol_table = index;
        if (is_table(header.sh_type)) continue;

        const char* name = ::elf_strptr(reading.elf, names, header.sh_name);
        ObjectSection read{.name = name ? name : "",
                           .type = header.sh_type,
                           .flags = header.sh_flags,
                           .size = header.sh_size,
                           .alignment = header.sh_addralign == 0 ? 1 : header.sh_addralign,
                           .entry_size = header.sh_entsize,
                           .contents = {},
                           .relocations = {}};
        if (header.sh_type != SHT_NOBITS && header.sh_size != 0) {
            Elf_Data* data = ::elf_rawdata(section, nullptr);
            if (!data || !data->d_buf || data->d_size != header.sh_size)
                return pack_error(fmt::format("{}: section '{}' lies outside the file", path, read.name));
            auto* bytes = static_cast<const std::byte*>(data->d_buf);
            read.contents.assign(bytes, bytes + data->d_size);
        }
        reading.place[index] = static_cast<u32>(reading.object.sections.size());
        reading.object.sections.push_back(std::move(read));
    }
    return {};
}

PackResult<void> read_symbols(Reading& reading, const std::string& path) {
    if (reading.symbol_table == 0) return pack_error(fmt::format("{}: no symbol table", path));
    Elf_Scn* section = ::elf_getscn(reading.elf, reading.symbol_table);
    GElf_Shdr header;
    Elf_Data* data = ::elf_getdata(section, nullptr);
    if (!data || !::gelf_getshdr(section, &header) || header.sh_entsize != sizeof(Elf64_Sym))
        return pack_error(fmt::format("{}: symbol table unreadable", path));
    usize count = data->d_size / sizeof(Elf64_Sym);
    for (usize index = 0; index < count; ++index) {
        GElf_Sym symbol;
        if (!::gelf_getsym(data, static_cast<int>(index), &symbol))
            return pack_error(fmt::format("{}: symbol {} unreadable", path, index));
        const char* name = ::elf_strptr(reading.elf, header.sh_link, symbol.st_name);
        u32 place = symbol.st_shndx;
        if (symbol.st_shndx < SHN_LORESERVE && symbol.st_shndx != SHN_UNDEF) {
            if (symbol.st_shndx >= reading.place.size())
                return pack_error(fmt::format("{}: symbol '{}' is in section {} of {}", path, name ? name : "",
                                              symbol.st_shndx, reading.place.size()));
            place = reading.place[symbol.st_shndx];
            if (place == 0) return pack_error(fmt::format("{}: symbol '{}' is in a table", path, name ? name : ""));
        } else if (symbol.st_shndx != SHN_UNDEF && symbol.st_shndx != SHN_ABS && symbol.st_shndx != SHN_COMMON) {
            return pack_error(fmt::format("{}: symbol '{}': section index {:#x} is not understood", path,
                                          name ? name : "", symbol.st_shndx));
        }
        reading.object.symbols.push_back({.name = name ? name : "",
                                          .value = symbol.st_value,
                                          .size = symbol.st_size,
                                          .binding = static_cast<u8>(GELF_ST_BIND(symbol.st_info)),
                                          .type = static_cast<u8>(GELF_ST_TYPE(symbol.st_info)),
                                          .other = symbol.st_other,
                                          .section = place});
    }
    if (reading.object.symbols.empty()) return pack_error(fmt::format("{}: symbol table empty", path));
    return {};
}

PackResult<void> read_relocations(Reading& reading, const std::string& path) {
    for (usize index = 1; index < reading.place.size(); ++index) {
        GElf_Shdr header;
        Elf_Scn* section = ::elf_getscn(reading.elf, index);
        if (!::gelf_getshdr(section, &header) || (header.sh_type != SHT_RELA && header.sh_type != SHT_REL)) continue;
        if (header.sh_type == SHT_REL) return pack_error(fmt::format("{}: section {}: REL relocations", path, index));
        if (header.sh_info >= reading.place.size() || reading.place[header.sh_info] == 0)
            return pack_error(fmt::format("{}: section {}: relocations of no section", path, index));
        ObjectSection& target = reading.object.sections[reading.place[header.sh_info]];
        Elf_Data* data = ::elf_getdata(section, nullptr);
        usize count = data ? data->d_size / sizeof(Elf64_Rela) : 0;
        for (usize i = 0; i < count; ++i) {
            GElf_Rela entry;
            if (!::gelf_getrela(data, static_cast<int>(i), &entry) ||
                GELF_R_SYM(entry.r_info) >= reading.object.symbols.size())
                return pack_error(fmt::format("{}: section '{}': relocation {} names no symbol", path, target.name, i));
            target.relocations.push_back({.offset = entry.r_offset,
                                          .type = static_cast<u32>(GELF_R_TYPE(entry.r_info)),
                                          .symbol = static_cast<u32>(GELF_R_SYM(entry.r_info)),
                                          .addend = entry.r_addend});
        }
    }
    return {};
}

}  // namespace

const ObjectSection* Object::section(std::string_view name) const {
    for (const ObjectSection& section : sections) {
        if (section.name == name) return &section;
    }
    return nullptr;
}

PackResult<Object> read_object(std::span<const std::byte> bytes, const std::string& path) {
    ::elf_version(EV_CURRENT);
    std::vector<std::byte> copy(bytes.begin(), bytes.end());  // libelf wants memory that it may write
    ElfHandle elf(::elf_memory(reinterpret_cast<char*>(copy.data()), copy.size()));
    GRAFT_CHECK(check_header(elf.get(), path));
    Reading reading{.elf = elf.get(), .object = {}, .place = {}, .symbol_table = 0};
    reading.object.path = path;
    GRAFT_CHECK(read_sections(reading, path));
    GRAFT_CHECK(read_symbols(reading, path));
    GRAFT_CHECK(read_relocations(reading, path));
    return std::move(reading.object);
}

PackResult<std::vector<std::byte>> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) return pack_error(fmt::format("{}: {}", path, std::strerror(errno)));
    std::streamoff size = file.tellg();
    if (size < 0) return pack_error(fmt::format("{}: not a regular file", path));
    std::vector<std::byte> bytes(static_cast<usize>(size));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), size);
    if (!file) return pack_error(fmt::format("{}: cannot be read", path));
    return bytes;
}

}  // namespace graft::tools
