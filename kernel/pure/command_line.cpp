#include "kernel/pure/command_line.h"

#include <charconv>
#include <cstring>

#include "base/types.h"

namespace graft::kernel {

namespace {

bool is_blank(char character) {
    return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

std::optional<u64> factor_of(char suffix) {
    switch (suffix) {
        case 'k':
        case 'K':
            return u64{1} << 10;
        case 'm':
        case 'M':
            return u64{1} << 20;
        case 'g':
        case 'G':
            return u64{1} << 30;
        default:
            return std::nullopt;
    }
}

}  // namespace

CommandLine::CommandLine(std::string_view text) {
    assign(text);
}

void CommandLine::assign(std::string_view text) {
    truncated_ = text.size() > kCapacity;
    length_ = truncated_ ? kCapacity : text.size();
    if (length_ != 0) std::memcpy(text_.data(), text.data(), length_);
}

std::optional<CommandLineWord> CommandLine::next_word(usize& position) const {
    std::string_view all = text();
    while (position < all.size() && is_blank(all[position])) ++position;
    if (position >= all.size()) return std::nullopt;

    CommandLineWord word;
    usize begin = position;
    while (position < all.size() && !is_blank(all[position]) && all[position] != '=') ++position;
    word.key = {all.data() + begin, position - begin};
    if (position >= all.size() || all[position] != '=') return word;

    word.has_value = true;
    ++position;
    bool quoted = position < all.size() && all[position] == '"';
    if (quoted) ++position;
    begin = position;
    while (position < all.size() && (quoted ? all[position] != '"' : !is_blank(all[position]))) ++position;
    word.value = {all.data() + begin, position - begin};
    if (quoted && position < all.size()) ++position;
    return word;
}

std::optional<std::string_view> CommandLine::value(std::string_view key) const {
    std::optional<std::string_view> last;
    usize position = 0;
    while (auto word = next_word(position)) {
        if (word->key == key) last = word->value;
    }
    return last;
}

u64 CommandLine::number(std::string_view key, u64 fallback) const {
    auto text = value(key);
    if (!text) return fallback;
    return parse_number(*text).value_or(fallback);
}

bool CommandLine::flag(std::string_view key, bool fallback) const {
    auto text = value(key);
    if (!text) return fallback;
    if (text->empty() || *text == "1" || *text == "on" || *text == "yes") return true;
    if (*text == "0" || *text == "off" || *text == "no") return false;
    return fallback;
}

std::optional<u64> parse_number(std::string_view text) {
    int base = 10;
    if (text.starts_with("0x")) {
        base = 16;
        text.remove_prefix(2);
    }
    u64 number = 0;
    const char* end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data(), end, number, base);
    if (error != std::errc{} || stop == text.data()) return std::nullopt;
    if (stop == end) return number;
    auto factor = factor_of(*stop);
    if (!factor || stop + 1 != end) return std::nullopt;
    return checked_mul(number, *factor);
}

}  // namespace graft::kernel
