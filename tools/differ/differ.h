// The object comparison library: from the baseline's and the patched objects of some translation units to one patch.
//
//   compare()  reads the objects, pairs their items, finds where the baseline's lie in the image and decides about
//              each function; judges what cannot be done live; emits the patch if nothing is refused.
//
// A request that makes no sense or an input that cannot be read is an error (PackError, one line). What the input
// means for a live patch is in the Result: decisions, refusals, warnings, guesses. Nothing is printed.
//
// Deterministic: the same contents and the same texts give the same Result and the same bytes, wherever the files lie.
// Context: host; no locking, several compare() may run at once on different requests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "tools/patch/object.h"

namespace graft::differ {

using tools::PackError;
using tools::PackResult;

// ---- what goes in ---------------------------------------------------------------------------------------------------

// One translation unit that the diff reaches.
struct Unit {
    std::string source;     // as messages name it: "kernel/log.cpp"
    std::string linked_as;  // the object's name in the link map: "build/image/kernel/log.cpp.o". Empty: a new unit
    std::string baseline;   // the baseline's object file. Empty: a new unit
    std::string patched;    // the patched object file. Empty: the unit goes on unchanged, or is removed
    bool removed = false;   // the diff has taken its source away
};

struct HoldPolicy {
    bool automatic = true;           // an unchanged function that calls two changed ones is held
    std::vector<std::string> named;  // linkage or demangled names that are held in any case
};

// What the metadata says; the empty ones are left out. `built_from` is the baseline's build-id unless given,
// `built_with` is read from the patched objects.
struct Texts {
    std::string name;
    std::string set;
    std::string version;
    std::string description;
    std::string fixes;
    std::string built_from;
};

struct Request {
    std::string image;        // the linked baseline with symbols, tables and debug information: build/kv.elf
    std::string map;          // its link map: build/kv/map
    std::string object_root;  // where `linked_as` paths start, for objects that no unit names. Empty: those aren't read
    std::vector<Unit> units;
    Texts texts;
    HoldPolicy holds;
};

// ---- what comes out -------------------------------------------------------------------------------------------------

// A place in a source; `line` 0 when unknown. `file` is as the debug information has it: from the tree's root.
struct SourcePlace {
    std::string file;
    u32 line = 0;

    friend bool operator==(const SourcePlace&, const SourcePlace&) = default;
    bool known() const { return !file.empty(); }
    std::string text() const;  // "kernel/log.cpp:12", "kernel/log.cpp", or empty
};

enum class DecisionKind : u8 {
    unchanged,  // recompiled, and means the same
    changed,    // replaced by the patch
    added,      // new, carried by the patch
    removed,    // the patched unit has it no more; the image keeps it
    held,       // unchanged, but counts as changing
};
std::string_view decision_name(DecisionKind kind);

// Where a changed function first differs: what `--why` shows.
struct FirstDifference {
    SourcePlace place;   // of the new instruction; of the old one when the new function has no line for it
    std::string before;  // the old instruction, "call f(int)"; empty when the old function ended there
    std::string after;   // the new one
    std::vector<std::string>
        inlined;  // what that code comes from, outermost first: "'clamp(int)' at kernel/log.cpp:12"
};

// About one function. A function of several units (inline) has one decision, with the first unit that has it.
struct Decision {
    DecisionKind kind = DecisionKind::unchanged;
    std::string name;       // linkage name
    std::string demangled;  // as a programmer writes it; equal to `name` where there is nothing to demangle
    std::string unit;       // Unit::source
    std::string reason;  // why: "calls changed constant 40 …", "code of 'clamp(int)' was inlined into it"; may be empty
    SourcePlace place;   // where it is defined
    u64 entry = 0;       // its address in the image, 0 if it has none
    u64 old_size = 0;    // bytes in the baseline, 0 if new
    u64 new_size = 0;    // bytes in the patch, 0 if not carried
    bool endless = false;              // has no way out
    FirstDifference first_difference;  // of a changed one
};

// Something that cannot be done live. One refusal is enough for there to be no patch.
struct Refusal {
    std::string code;     // stable, for scripts: "changed-data", "changed-layout", … (docs/writing-patches.md)
    SourcePlace place;    // of what is refused
    std::string subject;  // what: a function, an object, a type, a section; readable name
    std::string reason;   // lower case, one sentence without a full stop
    std::string advice;   // what to do instead; may be empty

    std::string text() const;  // "kernel/log.cpp:12: 'x': reason (advice)"
};

// Something that the author has to judge, or a pairing that was made by less than names.
struct Remark {
    std::string code;
    SourcePlace place;
    std::string text;
};

// A new object whose constructor the compiler put into one function with those of objects that the image has. It is
// refused; with a function of its own it would not be.
struct MixedInitialiser {
    std::string unit;       // Unit::source
    SourcePlace place;      // of the object's name, where it is defined
    u32 column = 0;         // of the first part of that name, from 1; 0 when unknown
    std::string name;       // its last part
    bool of_class = false;  // the object, or each element of it, is of a class

    friend bool operator==(const MixedInitialiser&, const MixedInitialiser&) = default;
};

struct Sizes {
    u64 text = 0;
    u64 read_only = 0;
    u64 writable = 0;
    u64 file = 0;  // the finished patch
};

struct Result {
    std::vector<Decision> decisions;  // sorted by unit (in the request's order), then by name
    std::vector<Refusal> refusals;    // sorted by place, then text
    std::vector<Remark> warnings;
    std::vector<Remark> guesses;     // each says what was taken for what, and why
    std::vector<std::string> added;  // readable names of new data
    std::vector<std::string> references;
    std::vector<MixedInitialiser> mixed;
    Sizes sizes;
    std::vector<std::byte> patch;  // the finished `.klp`; empty when refused or nothing changed

    bool refused() const { return !refusals.empty(); }
    bool nothing_to_do() const { return !refused() && patch.empty(); }
    usize count(DecisionKind kind) const;
};

PackResult<Result> compare(const Request& request);

// The name as a programmer writes it, or the name itself.
std::string demangled(std::string_view linkage_name);

}  // namespace graft::differ
