// One object of a translation unit as comparing needs it: a list of items (functions, data, constants), and for each
// the places at which it refers to others, as (item, offset) whatever the compiler wrote.
//
// The compiler refers to static things through their section's symbol and an addend that, for PC-relative fields, also
// counts the bytes from the field to the end of its instruction; the end is found by decoding. Offsets here are free of
// that: `target_offset` 0 is the target item's first byte. A pointer to an item's end stays with the item.
//
// Invariants after read(): every item's range lies in its section, items of one section don't overlap and cover it;
// every reference lies in its item and its target names an item. Item 0 is none.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/patch/object.h"

namespace graft::differ {

using tools::Object;
using tools::ObjectRelocation;
using tools::ObjectSection;
using tools::ObjectSymbol;
using tools::PackError;
using tools::PackResult;

enum class ItemKind : u8 {
    none,
    function,  // code with a symbol
    data,      // writable, or zero-initialised
    constant,  // read-only with a name of its own: identity matters, its address may be compared
    content,  // read-only without identity: strings, literals, jump tables, __func__, CSWTCH; a section's whole stretch
    table,    // an array that the start walks: .init_array
    undefined,  // defined elsewhere; `name` says what
};

struct Reference {
    u64 at = 0;             // of the field, from the item's first byte
    u32 type = 0;           // R_X86_64_*
    u32 target = 0;         // item
    i64 target_offset = 0;  // of the place meant, from the target's first byte
    u32 bias = 0;           // PC-relative: bytes from the field to the end of its instruction, else 0
    u32 symbol = 0;         // as the object has it
    i64 addend = 0;
};

struct Item {
    ItemKind kind = ItemKind::none;
    std::string name;                  // linkage name; content: the section's name
    std::vector<std::string> aliases;  // other names of the same address and kind
    u32 section = 0;                   // of the object, 0 for undefined
    u64 offset = 0;                    // in the section
    u64 size = 0;
    u64 alignment = 1;
    u32 symbol = 0;      // of the object, 0 if it has none
    bool local = false;  // not visible outside the unit
    bool weak = false;   // another unit's copy may stand in the image
    bool writable = false;
    bool zero = false;                  // NOBITS: no bytes in the object
    bool merged = false;                // lies in a section whose equal elements the linker merges
    bool strings = false;               // those elements are NUL-terminated
    bool undecoded = false;             // refers to others from code that isn't instructions from end to end
    std::vector<Reference> references;  // by `at`

    u64 end() const { return offset + size; }
    bool is_function() const { return kind == ItemKind::function; }
    // Existing ones stay where the image has them.
    bool has_identity() const { return kind == ItemKind::data || kind == ItemKind::constant; }
};

class UnitObject {
public:
    // `bytes` is the file's content, `path` its name for messages.
    static PackResult<UnitObject> read(std::span<const std::byte> bytes, const std::string& path);
    // The side that a unit doesn't have.
    static UnitObject none(const std::string& path);

    const std::string& path() const { return object_.path; }
    const Object& object() const { return object_; }
    const std::vector<Item>& items() const { return items_; }
    const Item& item(u32 index) const { return items_[index]; }
    const ObjectSection& section_of(const Item& item) const { return object_.sections[item.section]; }
    // The item's bytes as they stand in the object (fields of references are arbitrary); empty when it is `zero`.
    std::span<const std::byte> bytes(const Item& item) const;
    // The item of that linkage name or alias, 0 if there is none. Content has no names.
    u32 find(std::string_view name) const;
    // The item at that place of a section. A place before the first or behind the last item belongs to that item:
    // compilers fold a constant part of an index into the address. 0 if the section has no items.
    u32 at(u32 section, i64 offset) const;
    // The stretch of a content item that a reference to `offset` means: one string, one constant, one literal.
    // Adjacent literals that one function refers to, and very short ones, count as one.
    struct Stretch {
        u64 begin = 0;
        u64 end = 0;
    };
    Stretch stretch(const Item& item, i64 offset) const;

private:
    friend class UnitReader;

    Stretch string_at(const Item& item, u64 place) const;

    Object object_;
    std::vector<Item> items_;
    std::vector<std::vector<u32>> by_section_;  // items by offset
    std::map<std::string, u32, std::less<>> names_;
    std::map<u32, std::vector<u64>> literals_;  // by content item: where its literals start, ascending, the first at 0
};

}  // namespace graft::differ
