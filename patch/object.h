// Object: a bounds-checked view of a relocatable ELF64 object. open() checks that headers, section table, section names
// and contents lie within the bytes and don't overlap; use_symbols() the same of the symbol table. What the sections
// mean is patch/plan.h's business.
//
// Nothing is copied or allocated but a scratch array for the overlap check; the view lives as long as the bytes.
// Locking: none. Context: task.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"
#include "patch/elf.h"
#include "patch/machine.h"
#include "patch/refusal.h"

namespace graft::patch {

class Object {
public:
    Object() = default;
    static RefusalResult<Object> open(std::span<const std::byte> bytes);

    u32 section_count() const { return section_count_; }
    // `index` < section_count().
    elf::Section section(u32 index) const;
    std::string_view section_name(const elf::Section& section) const;
    // Empty for NOBITS.
    std::span<const std::byte> contents(const elf::Section& section) const;

    // No two sections with contents share a byte, and none covers the headers.
    RefusalResult<void> check_overlaps(Machine& machine) const;

    // Finds the symbol table, whose section is symbol_section() from then on.
    RefusalResult<void> use_symbols();
    u32 symbol_section() const { return symbol_section_; }
    u32 symbol_count() const { return symbol_count_; }
    // `index` < symbol_count().
    elf::Symbol symbol(u32 index) const;
    bool has_name(const elf::Symbol& symbol) const { return symbol.name < strings_.size(); }
    // Only if has_name(); cut at kKlpMaxSymbolName + 1 bytes, so that a longer one is seen to be too long.
    std::string_view symbol_name(const elf::Symbol& symbol) const;
    std::span<const std::byte> symbol_strings() const { return strings_; }

private:
    template <typename T>
    T load(u64 offset) const;
    RefusalResult<void> open_sections(const elf::Header& header);

    std::span<const std::byte> bytes_;
    u64 section_headers_ = 0;
    u32 section_count_ = 0;
    std::span<const std::byte> section_names_;
    u32 symbol_section_ = 0;
    u32 symbol_count_ = 0;
    std::span<const std::byte> symbols_;
    std::span<const std::byte> strings_;
};

}  // namespace graft::patch
