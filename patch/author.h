// For whoever writes a patch by hand: a source file that includes this header, says what it replaces, and is compiled
// with `make patch SRC=fix.cpp OUT=fix.klp` against the image it is meant for.
//
//   #include "patch/author.h"
//   #include "apps/shop/price.h"              // declares int price(int)
//
//   GRAFT_PATCH("fix-price");
//   GRAFT_PATCH_DESCRIPTION("rounds up instead of down");
//
//   static int fixed_price(int amount) { return graft::patch::original<price>()(amount) + 1; }
//   GRAFT_REPLACE(price, fixed_price);
//
// All macros stand at namespace scope. What a patch may and may not do: docs/writing-patches-by-hand.md.
#pragma once

#include <type_traits>

#include "base/types.h"
#include "formats/klp_declare.h"

namespace graft::patch {

// What `Function` was before any patch: the code behind its call site. The only way for a replacement to call what it
// replaces; a plain call goes through the call site, to the replacement again.
template <auto Function>
auto original() {
    static_assert(std::is_function_v<std::remove_pointer_t<decltype(Function)>>, "original<> takes a function");
    constexpr u64 kPastCallSite = 5;  // the call site's NOP [patch/machine.h kCallSiteSize]
    return reinterpret_cast<decltype(Function)>(reinterpret_cast<u64>(Function) + kPastCallSite);
}

}  // namespace graft::patch

// The patch's name: letters, digits and . _ - +, up to 200. Exactly one a file.
#define GRAFT_PATCH(patch_name) GRAFT_DECLARE_TEXT(name, patch_name)
// The replace set it belongs to; without it the patch is a set of its own.
#define GRAFT_PATCH_SET(set_name) GRAFT_DECLARE_TEXT(set, set_name)
#define GRAFT_PATCH_VERSION(version_text) GRAFT_DECLARE_TEXT(version, version_text)
#define GRAFT_PATCH_DESCRIPTION(description_text) GRAFT_DECLARE_TEXT(description, description_text)
#define GRAFT_PATCH_FIXES(fixes_text) GRAFT_DECLARE_TEXT(fixes, fixes_text)

// `replacement` takes the place of `old_function`. Both are names of functions of the same type, not overloaded.
#define GRAFT_REPLACE(old_function_name, replacement)                                       \
    static_assert(std::is_same_v<decltype(&(old_function_name)), decltype(&(replacement))>, \
                  "a replacement has the type of what it replaces");                        \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::replace,                       \
                  .old_function = reinterpret_cast<const void*>(&(old_function_name)),      \
                  .new_function = reinterpret_cast<const void*>(&(replacement)))

// The same for a function that the source can't name: static in another file, overloaded, a member. Its linkage name as
// `nm` shows it, and its rank by address among functions of that name (from 1; 0 = there is only one). Nothing checks
// the type.
#define GRAFT_REPLACE_NAMED(linkage_name, function_position, replacement)                                    \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::replace_named, .position = (function_position), \
                  .new_function = reinterpret_cast<const void*>(&(replacement)), .text = linkage_name)

// An unchanged function counts as changing: a task moves only while it is outside of it, so all that one call of it
// calls is old, or all is new.
#define GRAFT_HOLD(held_function)                                  \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::hold, \
                  .old_function = reinterpret_cast<const void*>(&(held_function)))
#define GRAFT_HOLD_NAMED(linkage_name, function_position)                                                 \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::hold_named, .position = (function_position), \
                  .text = linkage_name)

// A state: a change to the system that this patch owns and may hand on, with a name of letters, digits and . _ - +, and
// then, in the order of formats::StateDeclaration, what is needed of it:
//
//   static i32 make_table(u64 state) { … }
//   static void drop_table(u64 state) { … }
//   GRAFT_STATE("limits", .id = 0x6c696d69, .version = 2, .pre_patch = make_table, .post_unpatch = drop_table);
//
// pre_patch runs before the patch's functions are live, and refuses the load by returning anything but 0; post_patch
// runs when every task has moved; pre_unpatch and post_unpatch are the same for the way back. `state` is the id. When a
// callback runs and when a successor takes the state over without any: docs/reference/states.md.
#define GRAFT_STATE(state_name, ...) \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::state, .state = {__VA_ARGS__}, .text = state_name)

// ---- how the macros do it -------------------------------------------------------------------------------------------

#define GRAFT_DECLARE_TEXT(attribute, value) \
    GRAFT_DECLARE(.kind = ::graft::formats::DeclarationKind::attribute, .text = value)

#define GRAFT_DECLARE(...) GRAFT_DECLARE_NAMED(__COUNTER__, __VA_ARGS__)
#define GRAFT_DECLARE_NAMED(number, ...) GRAFT_DECLARE_EXPANDED(number, __VA_ARGS__)
// Constant, so that the compiler stores it complete in the object and no constructor is left to run.
#define GRAFT_DECLARE_EXPANDED(number, ...)                                                                      \
    [[gnu::used,                                                                                                 \
      gnu::section(".graft.declare")]] static const ::graft::formats::Declaration graft_declaration_##number = { \
        .order = (number), __VA_ARGS__}
