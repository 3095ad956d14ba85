#include "tools/differ/link_map.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace graft::differ {
namespace {

constexpr std::string_view kDiscarded = "Discarded input sections";
constexpr std::string_view kPlaced = "Linker script and memory map";

std::string_view take_word(std::string_view& line) {
    usize begin = line.find_first_not_of(' ');
    if (begin == std::string_view::npos) {
        line = {};
        return {};
    }
    usize end = std::min(line.find(' ', begin), line.size());
    std::string_view word = line.substr(begin, end - begin);
    line.remove_prefix(end);
    return word;
}

std::optional<u64> number(std::string_view word) {
    if (!word.starts_with("0x")) return std::nullopt;
    u64 value = 0;
    auto result = std::from_chars(word.data() + 2, word.data() + word.size(), value, 16);
    if (result.ec != std::errc{} || result.ptr != word.data() + word.size()) return std::nullopt;
    return value;
}

}  // namespace

// An entry is " NAME ADDRESS SIZE OBJECT", with a line break behind long names. Lines of symbols have no size, fills
// and the script's patterns begin with an asterisk, output sections stand at the margin.
tools::PackResult<LinkMap> LinkMap::parse(std::string_view text, const std::string& path) {
    LinkMap map;
    map.path_ = path;
    bool discarded = false;
    bool placed = false;
    std::string pending;
    while (!text.empty()) {
        usize end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with(kDiscarded)) discarded = true;
        if (line.starts_with(kPlaced)) placed = true;
        if (placed) discarded = false;
        if (line.starts_with("LOAD ")) {
            map.order_.emplace_back(line.substr(5));
            continue;
        }
        if (!line.starts_with(' ') || (!discarded && !placed)) {
            pending.clear();
            continue;
        }
        bool continues = line.size() > 1 && line[1] == ' ';
        std::string name = continues ? std::exchange(pending, {}) : std::string(take_word(line));
        if (name.empty() || name.starts_with('*')) continue;
        if (line.find_first_not_of(' ') == std::string_view::npos) {
            pending = name;
            continue;
        }
        auto address = number(take_word(line));
        auto size = number(take_word(line));
        usize begin = line.find_first_not_of(' ');
        if (!address || !size || begin == std::string_view::npos) continue;
        map.sections_[std::string(line.substr(begin))].push_back({name, *address, *size, discarded});
    }
    if (!placed || map.order_.empty()) return tools::pack_error(fmt::format("{}: not a link map", path));
    return map;
}

const std::vector<LinkedSection>* LinkMap::object(const std::string& name) const {
    auto found = sections_.find(name);
    return found == sections_.end() ? nullptr : &found->second;
}

}  // namespace graft::differ
