#include "control/duration.h"

namespace graft::control {

namespace {

struct Unit {
    std::string_view name;
    u64 ns;
};

constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1'000},
                           {"ms", 1'000'000},
                           {"s", 1'000'000'000},
                           {"m", u64{60} * 1'000'000'000},
                           {"h", u64{3600} * 1'000'000'000}};

}  // namespace

std::optional<u64> parse_duration(std::string_view text) {
    if (text == "none") return 0;
    u64 count = 0;
    usize digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
        count = count * 10 + static_cast<u64>(text[digits] - '0');
        if (count > kLongestDurationNs) return std::nullopt;
    }
    std::string_view name = text.substr(digits);
    for (const Unit& unit : kUnits) {
        if (digits == 0 || count == 0 || name != unit.name) continue;
        if (count > kLongestDurationNs / unit.ns) return std::nullopt;
        return count * unit.ns;
    }
    return std::nullopt;
}

}  // namespace graft::control
