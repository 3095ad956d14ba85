// Reads the entries of debug information into DebugInfo's tables.
#pragma once

#include <elfutils/libdw.h>

#include <map>
#include <string>
#include <vector>

#include "tools/differ/debug_info.h"

namespace graft::differ {

constexpr unsigned kSectionShift = 32;

inline CodePlace code_place(u64 address) {
    return {.section = static_cast<u32>(address >> kSectionShift), .offset = address & 0xffffffff};
}
inline u64 address_of(CodePlace where) {
    return (u64{where.section} << kSectionShift) + where.offset;
}

// From the tree's root where the compiler was told to write it so: "./kernel/log.cpp" is "kernel/log.cpp".
std::string source_file_name(const char* name);

class DebugReader {
public:
    DebugReader(std::vector<TypeNode>& types, std::vector<DebugVariable>& variables,
                std::vector<DebugFunction>& functions)
        : types_(types), variables_(variables), functions_(functions) {}

    void read_unit(Dwarf_Die& unit);
    // Was something met that breaks the format's rules?
    bool damaged() const { return damaged_; }

private:
    struct Scope {
        std::string prefix;    // "graft::net::"
        std::string function;  // linkage name of the function around, or empty
    };
    // Numbers the scopes that enclose types before anything refers to them.
    void find_scopes(Dwarf_Die& parent, const Scope& scope, unsigned depth);
    std::string function_name(Dwarf_Die& die);
    void read_children(Dwarf_Die& parent, unsigned depth);
    void read_entry(Dwarf_Die& die, unsigned depth);

    u32 type_of(Dwarf_Die& die);
    u32 read_type(Dwarf_Die& die);
    u32 make(TypeKind kind, Dwarf_Die& die);
    void read_aggregate(u32 index, Dwarf_Die& die);
    void read_member(TypeMember& member, Dwarf_Die& die);
    void read_enumeration(u32 index, Dwarf_Die& die);
    void read_array(u32 index, Dwarf_Die& die);
    void read_function_type(u32 index, Dwarf_Die& die);

    void read_variable(Dwarf_Die& die);
    void read_function(Dwarf_Die& die);
    void read_body(DebugFunction& function, Dwarf_Die& parent, u32 depth, unsigned nesting);
    void read_inlined(DebugFunction& function, Dwarf_Die& die, u32 depth);

    std::vector<TypeNode>& types_;
    std::vector<DebugVariable>& variables_;
    std::vector<DebugFunction>& functions_;
    std::map<Dwarf_Off, Scope> scopes_;  // of named entries that types or variables may be
    std::map<Dwarf_Off, u32> known_;     // types by entry
    unsigned nesting_ = 0;
    bool damaged_ = false;
};

}  // namespace graft::differ
