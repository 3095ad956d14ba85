#include "control/canary_policy.h"

#include "control/decimal.h"

namespace graft::control {

namespace {

using patch::CanaryPolicy;

constexpr std::string_view kTasks = "tasks=";

bool is_printable(std::string_view text) {
    for (char character : text) {
        if (character < ' ' || character > '~') return false;
    }
    return true;
}

std::optional<CanaryPolicy> parse_names(std::string_view pattern) {
    if (pattern.empty() || pattern.size() > patch::kMaxCanaryPattern || !is_printable(pattern)) return std::nullopt;
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::names;
    policy.pattern.assign(pattern);
    return policy;
}

std::optional<CanaryPolicy> parse_percent(std::string_view text) {
    if (!text.ends_with('%')) return std::nullopt;
    text.remove_suffix(1);
    auto percent = parse_decimal(text);
    if (!percent || *percent < 1 || *percent > 100) return std::nullopt;
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::percent;
    policy.percent = static_cast<u8>(*percent);
    return policy;
}

}  // namespace

std::optional<CanaryPolicy> parse_canary_policy(std::string_view text) {
    CanaryPolicy policy;
    if (text == "none") return policy;
    if (text.starts_with(kTasks)) return parse_names(text.substr(kTasks.size()));
    if (text != "new") return parse_percent(text);
    policy.kind = CanaryPolicy::Kind::births;
    return policy;
}

}  // namespace graft::control
