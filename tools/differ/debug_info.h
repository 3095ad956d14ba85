// The debug information of one relocatable object, read once into plain tables: types, variables, functions, and what
// was inlined where.
//
// A place in code or data is a section of the object and an offset in it. Types are nodes of a graph; typedefs and
// const/volatile are looked through, so two spellings of one type are one node kind. Node 0 is void.
//
// An object without debug information gives empty tables. Damaged debug information is an error. Host; no locking.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/differ/differ.h"
#include "tools/patch/object.h"

namespace graft::differ {

enum class TypeKind : u8 {
    none,       // void, and what isn't understood
    base,       // integer, character, bool, floating point
    pointer,    // also references and pointers to members
    array,      // one node for all dimensions
    aggregate,  // struct, class, union
    enumeration,
    function,  // what a function pointer points to
};

struct TypeMember {
    std::string name;  // a base class: its name; empty for an unnamed struct, union or bit-field
    bool is_base = false;
    u64 bit_offset = 0;
    u64 bit_size = 0;  // of a bit-field, else 0
    u32 type = 0;
};

struct Enumerator {
    std::string name;
    i64 value = 0;
};

struct TypeNode {
    TypeKind kind = TypeKind::none;
    std::string name;          // qualified: "graft::net::Packet"; what has none: the name of its typedef, or empty
    std::string keyword;       // "struct", "class", "union", "enum"; empty for others
    std::string local_to;      // a type in a function's body: the function, as DebugFunction::name
    u64 size = 0;              // bytes
    u32 encoding = 0;          // DW_ATE_* of a base type
    bool declaration = false;  // not complete in this object
    u32 target = 0;            // of a pointer, of an array's element, an enumeration's integer
    std::vector<u64> counts;   // of an array, by dimension; 0 = unknown
    std::vector<TypeMember> members;
    std::vector<Enumerator> enumerators;
    std::vector<u32> arguments;  // types among a template's arguments; a function's result and parameters
    SourcePlace place;
};

struct CodePlace {
    u32 section = 0;  // of tools::Object; 0 = none
    u64 offset = 0;
};

struct DebugVariable {
    std::string name;  // qualified
    u32 type = 0;
    CodePlace where;       // of one with static storage that this object defines
    std::string local_to;  // function whose static it is
    SourcePlace place;     // of the definition
    u32 column = 0;        // from 1; 0 when unknown
};

// One call of a function that the compiler replaced by the function's code.
struct InlinedCall {
    std::string name;   // of the inlined function, as DebugFunction::name
    u32 depth = 0;      // 0: inlined into the function itself, 1: into what was inlined there, …
    SourcePlace call;   // where it is called
    SourcePlace place;  // where the inlined function is defined
    struct Range {
        u64 begin, end;  // offsets in the section
    };
    std::vector<Range> ranges;
};

struct DebugFunction {
    std::string name;  // linkage name (a constructor's stands for all its variants); a static one's may be qualified
    CodePlace where;
    SourcePlace place;                 // where it is defined
    std::vector<u32> signature;        // types of result and parameters, `this` included
    std::vector<u32> uses;             // types of parameters and variables, also of what is inlined into it
    std::vector<InlinedCall> inlined;  // outer ones before what is inlined into them
};

class DebugInfo {
public:
    static PackResult<DebugInfo> read(const tools::Object& object);
    ~DebugInfo();
    DebugInfo(DebugInfo&&) noexcept;
    DebugInfo& operator=(DebugInfo&&) noexcept;

    const std::vector<TypeNode>& types() const { return types_; }
    const TypeNode& type(u32 index) const { return types_[index]; }
    const std::vector<DebugVariable>& variables() const { return variables_; }
    const std::vector<DebugFunction>& functions() const { return functions_; }

    // The function that begins there, or the variable that lies there.
    const DebugFunction* function_at(CodePlace where) const;
    const DebugVariable* variable_at(CodePlace where) const;
    // The line that the instruction at that place came from.
    SourcePlace line_at(CodePlace where) const;
    // For messages: "unsigned int", "graft::Packet*", "char[16]".
    std::string type_text(u32 index) const;

private:
    friend class DebugReader;
    struct Handle;
    explicit DebugInfo(std::unique_ptr<Handle> handle);

    std::unique_ptr<Handle> handle_;
    std::vector<TypeNode> types_;
    std::vector<DebugVariable> variables_;
    std::vector<DebugFunction> functions_;
};

}  // namespace graft::differ
