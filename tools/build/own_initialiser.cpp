#include "tools/build/own_initialiser.h"

#include <algorithm>

namespace graft::build {
namespace {

// Behind all priorities that anybody gives by hand, before the one of objects without.
constexpr std::string_view kAttribute = " [[gnu::init_priority(65000)]]";

bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Where the line begins; the text's size when it has no such line.
usize line_begin(std::string_view text, u32 line) {
    usize at = 0;
    for (u32 number = 1; number < line && at < text.size(); ++number)
        at = std::min(text.find('\n', at), text.size() - 1) + 1;
    return at;
}

// Behind the name that stands there, qualified or not; npos when its last part is another.
usize behind_name(std::string_view text, usize at, std::string_view name) {
    for (;;) {
        usize end = at;
        while (end < text.size() && is_name(text[end])) ++end;
        if (!text.substr(end).starts_with("::"))
            return end > at && text.substr(at, end - at) == name ? end : std::string_view::npos;
        at = end + 2;
    }
}

}  // namespace

OwnInitialisers give_own_initialisers(std::string_view text, std::vector<Declarator> declarators) {
    std::ranges::sort(declarators);
    auto twins = std::ranges::unique(declarators);
    declarators.erase(twins.begin(), twins.end());
    OwnInitialisers result{std::string(text), 0};
    // From the last to the first, so that places stay what they were.
    for (auto one = declarators.rbegin(); one != declarators.rend(); ++one) {
        if (one->line == 0 || one->column == 0) continue;
        usize begin = line_begin(text, one->line);
        usize end = std::min(text.find('\n', begin), text.size());
        if (begin + one->column > end) continue;
        usize behind = behind_name(text.substr(0, end), begin + one->column - 1, one->name);
        if (behind == std::string_view::npos) continue;
        result.text.insert(behind, kAttribute);
        ++result.given;
    }
    return result;
}

}  // namespace graft::build
