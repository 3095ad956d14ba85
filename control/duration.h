// Durations as the control tree takes them: a whole number and its unit, `250ms`, or `none`. Context: any.
#pragma once

#include <optional>
#include <string_view>

#include "base/types.h"

namespace graft::control {

inline constexpr u64 kLongestDurationNs = u64{365} * 24 * 3600 * 1'000'000'000;

// In nanoseconds, 0 for `none`; nothing when it is malformed, 0 or longer than kLongestDurationNs.
std::optional<u64> parse_duration(std::string_view text);

}  // namespace graft::control
