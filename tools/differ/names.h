// What linkage names say once the compiler's numbering is taken off.
#pragma once

#include <string>
#include <string_view>

namespace graft::differ {

// The name as a programmer writes it, without the numbers that a compiler gives to lambdas, unnamed types and static
// locals: equal for things that may be each other's counterpart. Two things of one unit can share it.
std::string unnumbered(std::string_view linkage_name);

// Does the name carry such a number, or could it (static locals: only the second of a name has one)? Then equal names
// don't prove that two things are the same.
bool is_numbered(std::string_view linkage_name);

// Without numbers, anonymous namespaces and internal linkage: equal when only the visibility differs.
std::string unscoped(std::string_view linkage_name);

// A specialised copy of a function that callers know the inside of (f.constprop.0, f.isra.0, f.part.0).
bool is_clone(std::string_view linkage_name);

// A coroutine's body, which the compiler makes two functions of: `….Frame.actor` goes on, `….Frame.destroy` gives up.
bool is_coroutine_body(std::string_view linkage_name);

// Functions that stay as they are: changed, they are carried as new ones, and whatever refers to them changes too.
// A clone's callers know its inside; a coroutine's old body goes on serving the instances that exist.
bool is_never_replaced(std::string_view linkage_name);

// Constants that the compiler makes for itself or that the language gives no identity: CSWTCH.3, __func__.0.
bool names_content(std::string_view linkage_name);

// All dynamic initialisers of a unit in one function, and those of each priority in one of their own:
// _GLOBAL__sub_I_x, _GLOBAL__I_x, _GLOBAL__sub_I.65000_x.
bool is_initialiser(std::string_view linkage_name);

// Its name without the unit's first public symbol, which it is named after: "_GLOBAL__sub_I", "_GLOBAL__sub_I.65000".
// Empty for other names.
std::string initialiser_kind(std::string_view linkage_name);

// A class's table of virtual functions, and what virtual bases bring with it: the tables that an object has while a
// base of it is being constructed (_ZTC), and the table of all these tables (_ZTT).
bool is_vtable(std::string_view linkage_name);

// The class that the table was made for, as a programmer writes it; empty for other names.
std::string class_of_vtable(std::string_view linkage_name);

// The object that a guard variable guards, or empty.
std::string guarded(std::string_view linkage_name);

}  // namespace graft::differ
