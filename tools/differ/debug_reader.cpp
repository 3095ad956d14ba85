#include "tools/differ/debug_reader.h"

#include <dwarf.h>

#include <algorithm>

#include <fmt/format.h>

namespace graft::differ {
namespace {

constexpr unsigned kMaxNesting = 200;

std::string own_name(Dwarf_Die& die) {
    const char* name = ::dwarf_diename(&die);
    return name ? name : "";
}

u64 number(Dwarf_Die& die, unsigned attribute, u64 otherwise = 0) {
    Dwarf_Attribute found;
    Dwarf_Word value = 0;
    if (!::dwarf_attr_integrate(&die, attribute, &found) || ::dwarf_formudata(&found, &value) != 0) return otherwise;
    return value;
}

bool flag(Dwarf_Die& die, unsigned attribute) {
    Dwarf_Attribute found;
    bool value = false;
    return ::dwarf_attr(&die, attribute, &found) && ::dwarf_formflag(&found, &value) == 0 && value;
}

// The entry that the concrete instance of a function, or its definition outside the class, stems from.
Dwarf_Die origin_of(Dwarf_Die die) {
    for (unsigned rounds = 0; rounds < 8; ++rounds) {
        Dwarf_Attribute attribute;
        Dwarf_Die origin;
        if ((!::dwarf_attr(&die, DW_AT_abstract_origin, &attribute) &&
             !::dwarf_attr(&die, DW_AT_specification, &attribute)) ||
            !::dwarf_formref_die(&attribute, &origin))
            break;
        die = origin;
    }
    return die;
}

SourcePlace declared_at(Dwarf_Die& die) {
    SourcePlace place{.file = source_file_name(::dwarf_decl_file(&die)), .line = 0};
    int line = 0;
    if (!place.file.empty() && ::dwarf_decl_line(&die, &line) == 0) place.line = static_cast<u32>(line);
    return place;
}

bool is_code_scope(int tag) {
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block;
}

bool is_aggregate(int tag) {
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

template <typename Visit>
void for_each_child(Dwarf_Die& parent, Visit visit) {
    Dwarf_Die child;
    if (::dwarf_child(&parent, &child) != 0) return;
    do visit(child);
    while (::dwarf_siblingof(&child, &child) == 0);
}

}  // namespace

std::string source_file_name(const char* name) {
    std::string text = name ? name : "";
    while (text.starts_with("./")) text.erase(0, 2);
    return text;
}

// Linkage name, or the qualified name of a function that has none because no other unit can see it.
std::string DebugReader::function_name(Dwarf_Die& die) {
    Dwarf_Attribute found;
    if (::dwarf_attr_integrate(&die, DW_AT_linkage_name, &found)) {
        if (const char* name = ::dwarf_formstring(&found)) return name;
    }
    Dwarf_Die origin = origin_of(die);
    return scopes_[::dwarf_dieoffset(&origin)].prefix + own_name(origin);
}

void DebugReader::read_unit(Dwarf_Die& unit) {
    scopes_.clear();
    known_.clear();
    find_scopes(unit, {}, 0);
    read_children(unit, 0);
}

void DebugReader::find_scopes(Dwarf_Die& parent, const Scope& scope, unsigned depth) {
    if (depth > kMaxNesting) {
        damaged_ = true;
        return;
    }
    for_each_child(parent, [&](Dwarf_Die& die) {
        scopes_[::dwarf_dieoffset(&die)] = scope;
        Scope inner = scope;
        int tag = ::dwarf_tag(&die);
        std::string name = own_name(die);
        if (tag == DW_TAG_namespace && name.empty()) name = "(anonymous namespace)";
        if (tag == DW_TAG_subprogram) {
            inner.function = function_name(die);
            Dwarf_Die origin = origin_of(die);
            inner.prefix = scopes_[::dwarf_dieoffset(&origin)].prefix + name + "()::";
        } else if (tag == DW_TAG_namespace || is_aggregate(tag)) {
            inner.prefix = scope.prefix + (name.empty() ? "(unnamed)" : name) + "::";
        }
        if (::dwarf_haschildren(&die) > 0) find_scopes(die, inner, depth + 1);
    });
}

void DebugReader::read_children(Dwarf_Die& parent, unsigned depth) {
    if (depth > kMaxNesting) return;
    for_each_child(parent, [&](Dwarf_Die& die) { read_entry(die, depth); });
}

void DebugReader::read_entry(Dwarf_Die& die, unsigned depth) {
    int tag = ::dwarf_tag(&die);
    if (is_aggregate(tag) || tag == DW_TAG_enumeration_type || tag == DW_TAG_typedef) (void)read_type(die);
    if (tag == DW_TAG_variable) read_variable(die);
    if (tag == DW_TAG_subprogram) read_function(die);
    if (tag == DW_TAG_namespace || is_aggregate(tag) || is_code_scope(tag)) read_children(die, depth + 1);
}

// ---- types ----------------------------------------------------------------------------------------------------------

u32 DebugReader::type_of(Dwarf_Die& die) {
    Dwarf_Attribute attribute;
    Dwarf_Die target;
    if (!::dwarf_attr_integrate(&die, DW_AT_type, &attribute) || !::dwarf_formref_die(&attribute, &target)) return 0;
    return read_type(target);
}

u32 DebugReader::make(TypeKind kind, Dwarf_Die& die) {
    u32 index = static_cast<u32>(types_.size());
    TypeNode& node = types_.emplace_back();
    Dwarf_Off offset = ::dwarf_dieoffset(&die);
    known_[offset] = index;
    node.kind = kind;
    node.name = own_name(die);
    const Scope& scope = scopes_[offset];
    if (!node.name.empty() && (kind == TypeKind::aggregate || kind == TypeKind::enumeration))
        node.name.insert(0, scope.prefix);
    node.local_to = scope.function;
    node.size = number(die, DW_AT_byte_size);
    node.place = declared_at(die);
    return index;
}

u32 DebugReader::read_type(Dwarf_Die& die) {
    auto found = known_.find(::dwarf_dieoffset(&die));
    if (found != known_.end()) return found->second;
    if (++nesting_ > kMaxNesting * 10) damaged_ = true;
    u32 index = 0;
    switch (int tag = damaged_ ? 0 : ::dwarf_tag(&die)) {
        case DW_TAG_base_type:
            index = make(TypeKind::base, die);
            types_[index].encoding = static_cast<u32>(number(die, DW_AT_encoding));
            break;
        case DW_TAG_pointer_type:
        case DW_TAG_reference_type:
        case DW_TAG_rvalue_reference_type:
        case DW_TAG_ptr_to_member_type: {
            index = make(TypeKind::pointer, die);
            u32 target = type_of(die);
            types_[index].target = target;
            break;
        }
        case DW_TAG_array_type:
            index = make(TypeKind::array, die);
            read_array(index, die);
            break;
        case DW_TAG_structure_type:
        case DW_TAG_class_type:
        case DW_TAG_union_type:
            index = make(TypeKind::aggregate, die);
            types_[index].keyword = tag == DW_TAG_union_type ? "union" : tag == DW_TAG_class_type ? "class" : "struct";
            read_aggregate(index, die);
            break;
        case DW_TAG_enumeration_type:
            index = make(TypeKind::enumeration, die);
            read_enumeration(index, die);
            break;
        case DW_TAG_subroutine_type:
            index = make(TypeKind::function, die);
            read_function_type(index, die);
            break;
        case DW_TAG_unspecified_type:
            index = make(TypeKind::base, die);
            break;
        case DW_TAG_typedef:
            index = type_of(die);
            if (types_[index].name.empty() &&
                (types_[index].kind == TypeKind::aggregate || types_[index].kind == TypeKind::enumeration))
                types_[index].name = scopes_[::dwarf_dieoffset(&die)].prefix + own_name(die);
            break;
        case DW_TAG_const_type:
        case DW_TAG_volatile_type:
        case DW_TAG_restrict_type:
        case DW_TAG_atomic_type:
            index = type_of(die);
            break;
        default:
            break;
    }
    --nesting_;
    known_[::dwarf_dieoffset(&die)] = index;
    return index;
}

void DebugReader::read_member(TypeMember& member, Dwarf_Die& die) {
    Dwarf_Attribute attribute;
    u64 bytes = 0;
    // A virtual base's place is an expression: it is part of the vtable's shape.
    if (::dwarf_attr(&die, DW_AT_data_member_location, &attribute)) {
        Dwarf_Word value = 0;
        if (::dwarf_formudata(&attribute, &value) == 0) bytes = value;
    }
    member.bit_offset = bytes * 8 + number(die, DW_AT_data_bit_offset);
    member.bit_size = number(die, DW_AT_bit_size);
    u32 type = type_of(die);
    member.type = type;
}

void DebugReader::read_aggregate(u32 index, Dwarf_Die& die) {
    types_[index].declaration = flag(die, DW_AT_declaration);
    std::vector<TypeMember> members;
    std::vector<u32> arguments;
    for_each_child(die, [&](Dwarf_Die& child) {
        int tag = ::dwarf_tag(&child);
        if (tag == DW_TAG_template_type_parameter) arguments.push_back(type_of(child));
        if (tag == DW_TAG_GNU_template_parameter_pack)
            for_each_child(child, [&](Dwarf_Die& one) { arguments.push_back(type_of(one)); });
        bool is_static = flag(child, DW_AT_external) || flag(child, DW_AT_declaration);
        if ((tag != DW_TAG_member || is_static) && tag != DW_TAG_inheritance) return;
        TypeMember member;
        member.name = own_name(child);
        member.is_base = tag == DW_TAG_inheritance;
        read_member(member, child);
        if (member.is_base) member.name = types_[member.type].name;
        members.push_back(std::move(member));
    });
    types_[index].members = std::move(members);
    types_[index].arguments = std::move(arguments);
}

void DebugReader::read_enumeration(u32 index, Dwarf_Die& die) {
    types_[index].keyword = "enum";
    types_[index].declaration = flag(die, DW_AT_declaration);
    u32 target = type_of(die);
    types_[index].target = target;
    for_each_child(die, [&](Dwarf_Die& child) {
        Dwarf_Attribute attribute;
        Dwarf_Sword value = 0;
        if (::dwarf_tag(&child) != DW_TAG_enumerator) return;
        if (::dwarf_attr(&child, DW_AT_const_value, &attribute)) ::dwarf_formsdata(&attribute, &value);
        types_[index].enumerators.push_back({own_name(child), value});
    });
}

void DebugReader::read_array(u32 index, Dwarf_Die& die) {
    u32 target = type_of(die);
    std::vector<u64> counts;
    for_each_child(die, [&](Dwarf_Die& child) {
        if (::dwarf_tag(&child) != DW_TAG_subrange_type) return;
        u64 upper = number(child, DW_AT_upper_bound, ~u64{0});
        counts.push_back(number(child, DW_AT_count, upper + 1));
    });
    types_[index].target = target;
    types_[index].counts = std::move(counts);
}

void DebugReader::read_function_type(u32 index, Dwarf_Die& die) {
    std::vector<u32> arguments{type_of(die)};
    for_each_child(die, [&](Dwarf_Die& child) {
        if (::dwarf_tag(&child) == DW_TAG_formal_parameter) arguments.push_back(type_of(child));
    });
    types_[index].arguments = std::move(arguments);
}

// ---- variables and functions ----------------------------------------------------------------------------------------

void DebugReader::read_variable(Dwarf_Die& die) {
    Dwarf_Attribute attribute;
    Dwarf_Op* operations = nullptr;
    usize count = 0;
    if (!::dwarf_attr(&die, DW_AT_location, &attribute) || ::dwarf_getlocation(&attribute, &operations, &count) != 0 ||
        count == 0 || operations[0].atom != DW_OP_addr || operations[0].number >> kSectionShift == 0)
        return;
    Dwarf_Die origin = origin_of(die);
    const Scope scope = scopes_[::dwarf_dieoffset(&origin)];
    u32 type = type_of(die);
    int column = 0;
    if (::dwarf_decl_column(&die, &column) != 0) column = 0;
    variables_.push_back({.name = scope.prefix + own_name(origin),
                          .type = type,
                          .where = code_place(operations[0].number),
                          .local_to = scope.function,
                          .place = declared_at(die),
                          .column = column > 0 ? static_cast<u32>(column) : 0});
}

void DebugReader::read_function(Dwarf_Die& die) {
    Dwarf_Addr entry = 0;
    if (::dwarf_lowpc(&die, &entry) != 0) {
        // A function in several ranges has no low pc of its own; the entry is where the first range begins.
        Dwarf_Addr base = 0;
        Dwarf_Addr end = 0;
        if (::dwarf_ranges(&die, 0, &base, &entry, &end) <= 0) return;
    }
    if (entry >> kSectionShift == 0) return;
    DebugFunction function;
    function.name = function_name(die);
    function.where = code_place(entry);
    function.place = declared_at(die);
    function.signature.push_back(type_of(die));
    for_each_child(die, [&](Dwarf_Die& child) {
        if (::dwarf_tag(&child) == DW_TAG_formal_parameter) function.signature.push_back(type_of(child));
    });
    read_body(function, die, 0, 0);
    std::sort(function.uses.begin(), function.uses.end());
    function.uses.erase(std::unique(function.uses.begin(), function.uses.end()), function.uses.end());
    functions_.push_back(std::move(function));
}

void DebugReader::read_body(DebugFunction& function, Dwarf_Die& parent, u32 depth, unsigned nesting) {
    if (nesting > kMaxNesting) {
        damaged_ = true;
        return;
    }
    for_each_child(parent, [&](Dwarf_Die& die) {
        int tag = ::dwarf_tag(&die);
        if (tag == DW_TAG_formal_parameter || tag == DW_TAG_variable) {
            if (u32 type = type_of(die)) function.uses.push_back(type);
        }
        if (tag == DW_TAG_lexical_block) read_body(function, die, depth, nesting + 1);
        if (tag != DW_TAG_inlined_subroutine) return;
        read_inlined(function, die, depth);
        read_body(function, die, depth + 1, nesting + 1);
    });
}

void DebugReader::read_inlined(DebugFunction& function, Dwarf_Die& die, u32 depth) {
    InlinedCall call;
    call.name = function_name(die);
    call.depth = depth;
    call.place = declared_at(die);
    Dwarf_Attribute attribute;
    Dwarf_Die unit;
    Dwarf_Files* files = nullptr;
    if (::dwarf_diecu(&die, &unit, nullptr, nullptr) && ::dwarf_getsrcfiles(&unit, &files, nullptr) == 0 &&
        ::dwarf_attr(&die, DW_AT_call_file, &attribute)) {
        Dwarf_Word file = 0;
        if (::dwarf_formudata(&attribute, &file) == 0)
            call.call.file = source_file_name(::dwarf_filesrc(files, file, nullptr, nullptr));
        call.call.line = static_cast<u32>(number(die, DW_AT_call_line));
    }
    Dwarf_Addr base = 0;
    Dwarf_Addr begin = 0;
    Dwarf_Addr end = 0;
    for (ptrdiff_t at = 0; (at = ::dwarf_ranges(&die, at, &base, &begin, &end)) > 0;)
        if (code_place(begin).section == function.where.section)
            call.ranges.push_back({code_place(begin).offset, code_place(end).offset});
    function.inlined.push_back(std::move(call));
}

}  // namespace graft::differ
