// Writes relocatable ELF64 objects and patch files, right or deliberately wrong ones. Every field that a test may want
// to spoil is public.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/types.h"
#include "formats/klp.h"
#include "patch/elf.h"

namespace graft::sim {

namespace elf = patch::elf;
using Bytes = std::vector<std::byte>;

struct BuiltSection {
    std::string name;
    elf::Section header{};
    Bytes contents;
    std::vector<elf::Rela> relocations;
    u32 relocation_section = 0;  // set by build()
};

class ObjectBuilder {
public:
    ObjectBuilder();

    // `size` beyond the contents is zeros (NOBITS: the size alone).
    u32 add_section(std::string name, u32 type, u64 flags, Bytes contents, u64 alignment = 16);
    u32 add_symbol(std::string name, u16 section, u64 value, u64 size, u8 binding, u8 type);
    void add_relocation(u32 section, u64 offset, u32 type, u32 symbol, i64 addend);
    BuiltSection& section(u32 index) { return sections_[index]; }
    BuiltSection* find_section(const std::string& name);
    elf::Symbol& symbol(u32 index) { return symbols_[index]; }
    u32 symbol_count() const { return static_cast<u32>(symbols_.size()); }

    // Called with the finished object's bytes and section headers, to spoil them.
    std::function<void(elf::Header&)> spoil_header;
    std::function<void(std::vector<elf::Section>&)> spoil_sections;

    Bytes build();

private:
    std::vector<BuiltSection> sections_;
    std::vector<elf::Symbol> symbols_;
    std::string strings_ = std::string(1, '\0');
};

}  // namespace graft::sim
