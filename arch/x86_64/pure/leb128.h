// Variable-length numbers of DWARF, read from a Reader. Values are confined to 32 bits: no frame needs more, and so no
// sum that is made of them can overflow 64. A longer or larger number fails the read. [dwarf §7.6]
#pragma once

#include <limits>
#include <optional>

#include "base/reader.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr unsigned kMaxLebBytes = 10;

inline std::optional<u32> read_uleb(Reader& reader) {
    u64 value = 0;
    for (unsigned i = 0; i < kMaxLebBytes; ++i) {
        u8 byte = reader.read<u8>();
        if (!reader.ok()) return std::nullopt;
        u64 bits = byte & 0x7fu;
        // Padding beyond the 64th bit carries nothing.
        if (7 * i >= 63 && bits > 1) return std::nullopt;
        value |= bits << (7 * i);
        if (byte & 0x80) continue;
        if (value > std::numeric_limits<u32>::max()) return std::nullopt;
        return static_cast<u32>(value);
    }
    return std::nullopt;
}

inline std::optional<i32> read_sleb(Reader& reader) {
    u64 value = 0;
    for (unsigned i = 0; i < kMaxLebBytes; ++i) {
        u8 byte = reader.read<u8>();
        if (!reader.ok()) return std::nullopt;
        u64 bits = byte & 0x7fu;
        unsigned shift = 7 * i;
        if (shift >= 63 && bits != 0 && bits != 0x7f) return std::nullopt;
        value |= bits << shift;
        if (byte & 0x80) continue;
        shift += 7;
        if (shift < 64 && (byte & 0x40)) value |= ~u64{0} << shift;
        auto number = static_cast<i64>(value);
        if (number < std::numeric_limits<i32>::min() || number > std::numeric_limits<i32>::max()) return std::nullopt;
        return static_cast<i32>(number);
    }
    return std::nullopt;
}

}  // namespace graft::arch
