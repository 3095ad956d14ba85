// CommandLine: the kernel command line, words of the form `key=value` or `key`, separated by blanks; a value may be put
// in double quotes. The last word of a key counts. docs/reference/command-line.md lists the kernel's keys; an
// application takes the keys it likes.
//
// Holds a copy of the text, cut at kCapacity (truncated() tells). Locking: none, constant after construction. Context:
// any.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "base/types.h"

namespace graft::kernel {

struct CommandLineWord {
    std::string_view key;
    std::string_view value;
    bool has_value = false;
};

class CommandLine {
public:
    static constexpr usize kCapacity = 2048;

    CommandLine() = default;
    explicit CommandLine(std::string_view text);
    CommandLine(const CommandLine&) = delete;
    CommandLine& operator=(const CommandLine&) = delete;

    void assign(std::string_view text);

    std::string_view text() const { return {text_.data(), length_}; }
    bool truncated() const { return truncated_; }

    // The value of the key's last word; empty for a word without one; nothing when the key does not occur.
    std::optional<std::string_view> value(std::string_view key) const;
    bool has(std::string_view key) const { return value(key).has_value(); }
    // A decimal, or 0x hexadecimal, number with an optional factor K, M or G. `fallback` when the key is missing or its
    // value is no such number.
    u64 number(std::string_view key, u64 fallback) const;
    // `key`, `key=1`, `key=on`, `key=yes` are true; `key=0`, `key=off`, `key=no` false; else `fallback`.
    bool flag(std::string_view key, bool fallback = false) const;

    // Walks over all words: start with position 0; nothing at the end.
    std::optional<CommandLineWord> next_word(usize& position) const;

private:
    std::array<char, kCapacity> text_{};
    usize length_ = 0;
    bool truncated_ = false;
};

std::optional<u64> parse_number(std::string_view text);

}  // namespace graft::kernel
