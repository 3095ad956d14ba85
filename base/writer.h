// Writer: a bounds-checked little-endian cursor over bytes that the caller owns; Reader's counterpart. A write that
// does not fit makes the writer fail for good and writes nothing, so an encoder may write a whole record and check
// once.
#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/types.h"

namespace graft {

class Writer {
public:
    constexpr explicit Writer(std::span<std::byte> bytes) : bytes_(bytes) {}

    constexpr bool ok() const { return ok_; }
    constexpr usize position() const { return position_; }
    constexpr usize room() const { return bytes_.size() - position_; }
    std::span<std::byte> written() const { return bytes_.first(position_); }

    template <typename T>
        requires std::is_integral_v<T>
    void write(T value) {
        put(&value, sizeof(value));
    }

    void write_bytes(std::span<const std::byte> bytes) { put(bytes.data(), bytes.size()); }
    void write_text(std::string_view text) { put(text.data(), text.size()); }

    // Overwrites an integer that was written before, e.g. a length that is known only now. `position` lies in what was
    // written; otherwise the writer fails.
    template <typename T>
        requires std::is_integral_v<T>
    void overwrite(usize position, T value) {
        if (!ok_ || position > position_ || sizeof(value) > position_ - position) {
            ok_ = false;
            return;
        }
        std::memcpy(bytes_.data() + position, &value, sizeof(value));
    }

private:
    void put(const void* source, usize count) {
        if (!ok_ || count > room()) {
            ok_ = false;
            return;
        }
        if (count != 0) std::memcpy(bytes_.data() + position_, source, count);
        position_ += count;
    }

    std::span<std::byte> bytes_;
    usize position_ = 0;
    bool ok_ = true;
};

}  // namespace graft
