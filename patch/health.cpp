#include "patch/health.h"

namespace graft::patch {

namespace {

constexpr std::string_view kFaults = "faults>";
constexpr std::string_view kP99 = "p99>";
constexpr u64 kMostFaults = 1'000'000'000;
constexpr u64 kLargestFactor = 1000 * 100;

// Takes the digits at the beginning off; nothing when there is none, or when they are more than `most` in value.
std::optional<u64> take_number(std::string_view& text, u64 most) {
    u64 value = 0;
    usize length = 0;
    for (; length < text.size() && text[length] >= '0' && text[length] <= '9'; ++length) {
        value = value * 10 + static_cast<u64>(text[length] - '0');
        if (value > most) return std::nullopt;
    }
    if (length == 0) return std::nullopt;
    text.remove_prefix(length);
    return value;
}

std::optional<u64> parse_faults(std::string_view text) {
    auto count = take_number(text, kMostFaults);
    return text.empty() ? count : std::nullopt;
}

// In hundredths.
std::optional<u64> parse_factor(std::string_view text) {
    auto whole = take_number(text, kLargestFactor / 100);
    if (!whole) return std::nullopt;
    u64 factor = *whole * 100;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        usize before = text.size();
        auto fraction = take_number(text, 99);
        usize digits = before - text.size();
        if (!fraction || digits > 2) return std::nullopt;
        factor += digits == 1 ? *fraction * 10 : *fraction;
    }
    if (text != "x" || factor == 0 || factor > kLargestFactor) return std::nullopt;
    return factor;
}

}  // namespace

bool HealthRules::add(const HealthRule& rule) {
    if (count_ == kMaxHealthRules) return false;
    rules_[count_++] = rule;
    return true;
}

bool HealthRules::has(HealthRule::Kind kind) const {
    for (const HealthRule& rule : span()) {
        if (rule.kind == kind) return true;
    }
    return false;
}

std::optional<HealthRule> parse_health_rule(std::string_view text) {
    if (text.starts_with(kFaults)) {
        auto count = parse_faults(text.substr(kFaults.size()));
        if (count) return HealthRule{HealthRule::Kind::faults, *count};
    }
    if (text.starts_with(kP99)) {
        auto factor = parse_factor(text.substr(kP99.size()));
        if (factor) return HealthRule{HealthRule::Kind::p99, *factor};
    }
    return std::nullopt;
}

void render(const HealthRule& rule, TextBuffer& out) {
    if (rule.kind == HealthRule::Kind::faults) {
        out.append(kFaults, rule.limit);
        return;
    }
    out.append(kP99, rule.limit / 100);
    u64 hundredths = rule.limit % 100;
    if (hundredths != 0) out.append(".", hundredths / 10);
    if (hundredths % 10 != 0) out.append(hundredths % 10);
    out.append("x");
}

bool is_broken(const HealthRule& p99, const MeasuredFunction& function) {
    if (function.before.timed < kHealthSample || function.after.timed < kHealthSample) return false;
    return function.after.p99_ns * 100 > function.before.p99_ns * p99.limit;  // far below 2^64: hours, by 10^5
}

}  // namespace graft::patch
