// Code as text, with the names of what it refers to; and the difference of two listings.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "tools/differ/unit_object.h"

namespace graft::differ {

struct ListedInstruction {
    u64 at = 0;        // from the code's first byte
    std::string text;  // "call graft::kernel::log(…)"; a target within the code is "+0x1c"
    std::string key;   // the text without such targets: equal when only the code around has moved it
};

// Both may be empty functions; an empty answer leaves the number.
struct CodeNames {
    std::function<std::string(u64 at)> field;         // what the linker puts into the field at that offset
    std::function<std::string(u64 address)> address;  // what lies there, in linked code
};

// `address`: where the first byte lies, for relative targets. Bytes that are no instruction are listed one by one.
std::vector<ListedInstruction> list_code(std::span<const std::byte> code, u64 address, const CodeNames& names);

// A function of an object.
std::vector<ListedInstruction> list_item(const UnitObject& object, u32 item);
// The instruction at `at`; empty at the function's end.
std::string instruction_of(const UnitObject& object, u32 item, u64 at);

// Lines beginning with "@@" (where a hunk begins on both sides), ' ', '-' or '+'. Empty when they are equal.
std::vector<std::string> difference_of(const std::vector<ListedInstruction>& before,
                                       const std::vector<ListedInstruction>& after);

}  // namespace graft::differ
