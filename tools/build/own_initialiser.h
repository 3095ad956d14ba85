// An initialiser of its own for a global object that a diff adds.
//
// The compiler puts the constructors of a unit's globals into one function. When the image has run that function for
// objects of its own, a patch can't run the new one for the object that it adds. Objects of class type that have
// another priority than the rest get a function of their own, though, and the rest keep theirs, bit for bit. So the
// patched source is compiled once more with that attribute behind the new object's name:
//
//     Registry second(40);   →   Registry second [[gnu::init_priority(65000)]](40);
//
// The place is the debug information's. Where the name doesn't stand there (it came out of a macro), nothing is
// written. Pure; no locking.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace graft::build {

struct Declarator {
    u32 line = 0;      // from 1
    u32 column = 0;    // from 1, of the first part of the name as it is written there, in bytes
    std::string name;  // its last part: "second" of "demo::Registry::second"

    friend auto operator<=>(const Declarator&, const Declarator&) = default;
};

struct OwnInitialisers {
    std::string text;  // with the attributes; as many lines as before
    usize given = 0;   // how many declarators got one
};

OwnInitialisers give_own_initialisers(std::string_view text, std::vector<Declarator> declarators);

}  // namespace graft::build
