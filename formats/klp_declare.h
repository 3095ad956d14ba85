// Declarations: what a hand-written patch source says about itself (patch/author.h), as the compiler leaves it in the
// object's section `.graft.declare`, and as the tools read it to make the section `.graft.patch` from. The section is
// an array of Declaration; all addresses in it are R_X86_64_64 relocations, resolved by nobody but the tools.
//
// A state (GRAFT_STATE in a hand-written source or in a file that a diff changes) is a declaration of the kind `state`:
// `text` is its name, `state` the rest, and the relocations at `state.pre_patch` … `state.destroy` tell the callbacks,
// which must be functions of the same object. No relocation: no such callback.
//
// Locking: none; never loaded into an image.
#pragma once

#include "base/types.h"

namespace graft::formats {

inline constexpr u32 kDeclarationMagic = 0x33434447;  // "GDC3"
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
    // text: the state's name; `state`
    state = 32,
};

inline constexpr u32 kDefaultTimeLimitMs = 5000;

// What may be given in GRAFT_STATE, in this order. The callbacks: patch/author.h.
struct StateDeclaration {
    u64 id = 0;  // not 0; by it patches of all sets know the state
    u32 version = 0;
    u32 irreversible = 0;                     // 1: whatever would undo the state is refused
    u32 time_limit_ms = kDefaultTimeLimitMs;  // of one callback; 1 to 600,000
    u32 reserved = 0;
    i32 (*pre_patch)(u64 state) = nullptr;
    void (*post_patch)(u64 state) = nullptr;
    void (*pre_unpatch)(u64 state) = nullptr;
    void (*post_unpatch)(u64 state) = nullptr;
    void (*destroy)(void* data) = nullptr;  // of a shadow variable that is left when the state goes
};
static_assert(sizeof(StateDeclaration) == 64);

// The alignment that the compiler gives to large objects anyway; so the section is a dense array.
struct alignas(32) Declaration {
    u32 magic = kDeclarationMagic;
    u32 order = 0;  // in the source: the compiler emits them in any
    DeclarationKind kind = DeclarationKind::name;
    u32 position = 0;  // of a named function: rank by address from 1; 0 = the name must be unique
    const void* old_function = nullptr;
    const void* new_function = nullptr;
    StateDeclaration state{};
    char text[kDeclarationText] = {};  // NUL-terminated
};
static_assert(sizeof(Declaration) == 96 + kDeclarationText);

inline constexpr char kDeclarationSection[] = ".graft.declare";

}  // namespace graft::formats
