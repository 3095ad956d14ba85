// A relocatable ELF object in memory: what the compiler left, read once and checked, so that what follows may index it.
//
// Invariants after read_object(): every section index of a symbol that isn't special, every symbol index of a
// relocation and every `target` names an element; symbol 0 and section 0 are the empty ones that ELF has there.
#pragma once

#include <elf.h>

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace graft::tools {

// Why a patch cannot be made: one line, lower case, naming thing and reason.
struct PackError {
    std::string text;
};

template <typename T>
using PackResult = Result<T, PackError>;

inline std::unexpected<PackError> pack_error(std::string text) {
    return fail(PackError{std::move(text)});
}

struct ObjectSymbol {
    std::string name;
    u64 value = 0;
    u64 size = 0;
    u8 binding = 0;  // STB_*
    u8 type = 0;     // STT_*
    u8 other = 0;
    u32 section = 0;  // SHN_UNDEF, SHN_ABS, SHN_COMMON, or an index

    bool is_undefined() const { return section == SHN_UNDEF; }
    bool is_special() const { return section == SHN_ABS || section == SHN_COMMON; }
};

struct ObjectRelocation {
    u64 offset = 0;
    u32 type = 0;
    u32 symbol = 0;
    i64 addend = 0;
};

struct ObjectSection {
    std::string name;
    u32 type = 0;  // SHT_*
    u64 flags = 0;
    u64 size = 0;
    u64 alignment = 1;
    u64 entry_size = 0;
    std::vector<std::byte> contents;  // empty for SHT_NOBITS
    std::vector<ObjectRelocation> relocations;
};

struct Object {
    std::string path;                     // for messages
    std::vector<ObjectSection> sections;  // without relocation, symbol and string tables
    std::vector<ObjectSymbol> symbols;

    const ObjectSection* section(std::string_view name) const;
};

// `bytes` is the file's content, `path` its name.
PackResult<Object> read_object(std::span<const std::byte> bytes, const std::string& path);

// The ELF file again. Same object, same bytes.
std::vector<std::byte> write_object(const Object& object);

// The whole file, or the reason why not.
PackResult<std::vector<std::byte>> read_file(const std::string& path);

}  // namespace graft::tools
