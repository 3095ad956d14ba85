// Numbers that a client writes.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

#include "base/types.h"

namespace graft::control {

// Decimal digits and nothing else.
inline std::optional<u64> parse_decimal(std::string_view text) {
    u64 value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace graft::control
