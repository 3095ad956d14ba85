// TextBuffer: builds text in memory that the caller owns. Never allocates, never overruns: what doesn't fit is cut and
// truncated() says so. For numbers see append(hex(n)).
#pragma once

#include <charconv>
#include <concepts>
#include <cstring>
#include <span>
#include <string_view>

#include "base/types.h"

namespace graft {

struct Hex {
    u64 value;
    unsigned digits;  // at least this many, zero-padded
};

constexpr Hex hex(u64 value, unsigned digits = 1) {
    return {value, digits};
}

class TextBuffer {
public:
    explicit TextBuffer(std::span<char> storage) : storage_(storage) {}

    std::string_view view() const { return {storage_.data(), length_}; }
    usize size() const { return length_; }
    bool truncated() const { return truncated_; }
    void clear() {
        length_ = 0;
        truncated_ = false;
    }

    TextBuffer& append(std::string_view text) {
        usize room = storage_.size() - length_;
        usize count = text.size() < room ? text.size() : room;
        if (count < text.size()) truncated_ = true;
        if (count != 0) std::memcpy(storage_.data() + length_, text.data(), count);
        length_ += count;
        return *this;
    }
    TextBuffer& append(const char* text) { return append(std::string_view(text)); }
    TextBuffer& append(char character) { return append(std::string_view(&character, 1)); }

    template <std::integral T>
        requires(!std::same_as<T, char> && !std::same_as<T, bool>)
    TextBuffer& append(T value) {
        char digits[24];
        auto [end, error] = std::to_chars(digits, digits + sizeof(digits), value);
        (void)error;  // 24 characters hold every 64-bit number
        return append(std::string_view(digits, static_cast<usize>(end - digits)));
    }

    // "0x" and lower-case digits.
    TextBuffer& append(Hex number) {
        char digits[16];
        auto [end, error] = std::to_chars(digits, digits + sizeof(digits), number.value, 16);
        (void)error;  // 16 digits hold every 64-bit number
        auto length = static_cast<unsigned>(end - digits);
        append("0x");
        for (unsigned i = length; i < number.digits; ++i) append('0');
        return append(std::string_view(digits, length));
    }

    template <typename First, typename... Rest>
        requires(sizeof...(Rest) > 0)
    TextBuffer& append(const First& first, const Rest&... rest) {
        append(first);
        return append(rest...);
    }

private:
    std::span<char> storage_;
    usize length_ = 0;
    bool truncated_ = false;
};

// A TextBuffer with its storage.
template <usize Capacity>
class Text : public TextBuffer {
public:
    Text() : TextBuffer(storage_) {}
    Text(const Text&) = delete;
    Text& operator=(const Text&) = delete;

private:
    char storage_[Capacity];
};

}  // namespace graft
