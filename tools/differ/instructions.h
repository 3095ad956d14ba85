// Where the instructions of a function begin and end, and what they look like.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace graft::differ {

// Offsets of the instructions' first bytes, ascending; the first is 0. Nothing when the bytes aren't instructions from
// the first to the last.
std::optional<std::vector<u64>> instruction_starts(std::span<const std::byte> code);

// The start of the instruction that holds `offset`; `starts` isn't empty.
u64 instruction_at(const std::vector<u64>& starts, u64 offset);

// The end of that instruction in code of `size` bytes.
u64 instruction_end(const std::vector<u64>& starts, u64 offset, u64 size);

// One instruction in words, as a disassembler shows it; fields that a linker fills in are shown as they stand. Empty
// when the bytes are none. `address` is what relative targets count from.
std::string instruction_text(std::span<const std::byte> code, u64 address);

}  // namespace graft::differ
