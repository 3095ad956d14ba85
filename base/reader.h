// Reader: a bounds-checked little-endian cursor over bytes that came from outside. A read past the end makes the reader
// fail for good and yields zero, so a decoder may read a whole record and check once.
#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/types.h"

namespace graft {

class Reader {
public:
    constexpr explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    constexpr bool ok() const { return ok_; }
    constexpr usize position() const { return position_; }
    constexpr usize remaining() const { return bytes_.size() - position_; }
    constexpr bool at_end() const { return position_ == bytes_.size(); }

    template <typename T>
        requires std::is_integral_v<T>
    T read() {
        T value{};
        auto bytes = take(sizeof(T));
        if (bytes.size() == sizeof(T)) std::memcpy(&value, bytes.data(), sizeof(T));
        return value;
    }

    // Exactly `count` bytes, or an empty span and a failed reader.
    constexpr std::span<const std::byte> take(usize count) {
        if (!ok_ || count > remaining()) {
            ok_ = false;
            return {};
        }
        auto taken = bytes_.subspan(position_, count);
        position_ += count;
        return taken;
    }

    std::string_view take_text(usize count) {
        auto taken = take(count);
        return {reinterpret_cast<const char*>(taken.data()), taken.size()};
    }

    constexpr void skip(usize count) { (void)take(count); }

    constexpr void seek(usize position) {
        if (position > bytes_.size()) {
            ok_ = false;
            return;
        }
        position_ = position;
    }

private:
    std::span<const std::byte> bytes_;
    usize position_ = 0;
    bool ok_ = true;
};

}  // namespace graft
