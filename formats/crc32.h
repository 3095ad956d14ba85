// CRC-32 as in IEEE 802.3: polynomial 0x04c11db7 reflected (0xedb88320), initial value and final complement all ones.
// Detects every burst of up to 32 bits and, at the lengths of a frame, every change of up to four bits.
#pragma once

#include <array>
#include <span>

#include "base/types.h"

namespace graft::formats {

namespace detail {

constexpr std::array<u32, 256> make_crc32_table() {
    std::array<u32, 256> table{};
    for (u32 value = 0; value < 256; ++value) {
        u32 remainder = value;
        for (int bit = 0; bit < 8; ++bit) remainder = (remainder >> 1) ^ ((remainder & 1) != 0 ? 0xedb88320u : 0u);
        table[value] = remainder;
    }
    return table;
}

inline constexpr std::array<u32, 256> kCrc32Table = make_crc32_table();

}  // namespace detail

constexpr u32 crc32(std::span<const std::byte> bytes) {
    u32 remainder = 0xffffffffu;
    for (std::byte byte : bytes) {
        remainder = (remainder >> 8) ^ detail::kCrc32Table[(remainder ^ static_cast<u32>(byte)) & 0xff];
    }
    return ~remainder;
}

}  // namespace graft::formats
