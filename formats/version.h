// The version of a patch: one to four numbers with dots between, compared number by number; what is missing counts as
// 0.
//
// Locking: none. Context: any.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string_view>

#include "base/types.h"

namespace graft::formats {

struct PatchVersion {
    static constexpr usize kMaxNumbers = 4;

    std::array<u32, kMaxNumbers> numbers{};

    auto operator<=>(const PatchVersion&) const = default;
};

// Nothing when the text isn't one to four decimal numbers below 2^32 with single dots between.
[[nodiscard]] std::optional<PatchVersion> parse_patch_version(std::string_view text);

}  // namespace graft::formats
