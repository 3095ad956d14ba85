// Health rules: what a load has the system watch, by which it takes the patch back of its own accord, as a canary and
// on probation.
//
//   faults>N    more than N faults that were contained in the patch's code, or in measured calls of its versions
//   p99>FACTORx   of one function, 99 % of the calls of the patch's version take more than FACTOR times as long as
//                 those of the version before. Compared from kHealthSample timed calls of each on; so it acts on
//                 probation only after a canary, during which the version before was called.
//
// Rules are looked at each kHealthPeriodNs.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/text.h"
#include "base/types.h"
#include "patch/machine.h"

namespace graft::patch {

inline constexpr usize kMaxHealthRules = 4;
inline constexpr u64 kHealthSample = 1000;
inline constexpr u64 kHealthPeriodNs = 100'000'000;

struct HealthRule {
    enum class Kind : u8 { faults, p99 };
    Kind kind = Kind::faults;
    u64 limit = 0;  // faults: how many are no harm; p99: the factor in hundredths
};

class HealthRules {
public:
    // False when there are kMaxHealthRules already.
    [[nodiscard]] bool add(const HealthRule& rule);
    std::span<const HealthRule> span() const { return std::span(rules_).first(count_); }
    bool empty() const { return count_ == 0; }
    bool has(HealthRule::Kind kind) const;

private:
    std::array<HealthRule, kMaxHealthRules> rules_{};
    usize count_ = 0;
};

// `faults>0`, `p99>2x`, `p99>1.25x`; nothing for any other text. N: up to 10^9; FACTOR: 0.01 … 1000, with up to two
// decimals. Blanks aren't allowed.
std::optional<HealthRule> parse_health_rule(std::string_view text);

// The rule as it is written.
void render(const HealthRule& rule, TextBuffer& out);

// Whether the calls of one function break a p99 rule.
bool is_broken(const HealthRule& p99, const MeasuredFunction& function);

}  // namespace graft::patch
