// Declarations: what a hand-written patch source says about itself (patch/author.h), as the compiler leaves it in the
// object's section `.graft.declare`, and as tools/patch reads it to make the section `.graft.patch` from. The section
// is an array of Declaration; the two addresses are R_X86_64_64 relocations, resolved by nobody but the tool.
//
// Locking: none; never loaded into an image.
#pragma once

#include "base/types.h"

namespace graft::formats {

inline constexpr u32 kDeclarationMagic = 0x4c434447;  // "GDCL"
inline constexpr usize kDeclarationText = 1056;

enum class DeclarationKind : u32 {
    // text: the attribute's value
    name = 1,
    set = 2,
    version = 3,
    description = 4,
    fixes = 5,
    // `old_function` → `new_function`; text empty, position 0
    replace = 16,
    // text: linkage name of the old function, with its position; `new_function`
    replace_named = 17,
    // `old_function` is held
    hold = 18,
    // text: linkage name of the held function, with its position
    hold_named = 19,
};

// The alignment that the compiler gives to large objects anyway; so the section is a dense array.
struct alignas(32) Declaration {
    u32 magic = kDeclarationMagic;
    DeclarationKind kind = DeclarationKind::name;
    u32 position = 0;  // of a named function: rank by address from 1; 0 = the name must be unique
    u32 reserved = 0;
    const void* old_function = nullptr;
    const void* new_function = nullptr;
    char text[kDeclarationText] = {};  // NUL-terminated
};
static_assert(sizeof(Declaration) == 32 + kDeclarationText);

inline constexpr char kDeclarationSection[] = ".graft.declare";

}  // namespace graft::formats
