#include "patch/canary.h"

namespace graft::patch {

// One `*` needs to be remembered only: where a later one has matched, an earlier one need not take more.
bool matches(std::string_view pattern, std::string_view name) {
    constexpr usize kNone = ~usize{0};
    usize at = 0;
    usize in = 0;
    usize star = kNone;
    usize resume = 0;
    while (in < name.size()) {
        bool is_star = at < pattern.size() && pattern[at] == '*';
        bool fits = at < pattern.size() && (pattern[at] == '?' || pattern[at] == name[in]);
        if (is_star) {
            star = at++;
            resume = in;
        } else if (fits) {
            ++at;
            ++in;
        } else if (star != kNone) {
            at = star + 1;
            in = ++resume;
        } else {
            return false;
        }
    }
    while (at < pattern.size() && pattern[at] == '*') ++at;
    return at == pattern.size();
}

bool belongs(const CanaryPolicy& policy, std::string_view name, const ShareCount& before, bool is_newborn) {
    switch (policy.kind) {
        case CanaryPolicy::Kind::none:
            break;
        case CanaryPolicy::Kind::percent:
            return before.chosen < share_of(before.total + 1, policy.percent);
        case CanaryPolicy::Kind::names:
            return matches(policy.pattern.view(), name);
        case CanaryPolicy::Kind::births:
            return is_newborn;
    }
    return false;
}

void render(const CanaryPolicy& policy, TextBuffer& out) {
    switch (policy.kind) {
        case CanaryPolicy::Kind::none:
            return;
        case CanaryPolicy::Kind::percent:
            out.append(policy.percent, "%");
            return;
        case CanaryPolicy::Kind::names:
            out.append("tasks=", policy.pattern.view());
            return;
        case CanaryPolicy::Kind::births:
            out.append("new");
            return;
    }
}

}  // namespace graft::patch
