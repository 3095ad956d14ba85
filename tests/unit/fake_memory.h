// Physical memory of a test: pieces at addresses; everything else can't be read.
#pragma once

#include <cstring>
#include <map>
#include <string_view>
#include <vector>

#include "arch/x86_64/pure/acpi_tables.h"

namespace graft::test {

class FakeMemory final : public arch::MemoryReader {
public:
    std::vector<u8>& at(u64 address) { return pieces_[address]; }

    bool read(PhysAddr address, std::span<std::byte> bytes) const override {
        auto next = pieces_.upper_bound(address.value);
        if (next == pieces_.begin()) return false;
        const auto& [begin, piece] = *--next;
        u64 offset = address.value - begin;
        if (offset > piece.size() || bytes.size() > piece.size() - offset) return false;
        if (!bytes.empty()) std::memcpy(bytes.data(), piece.data() + offset, bytes.size());
        return true;
    }

private:
    std::map<u64, std::vector<u8>> pieces_;
};

// Appends little-endian numbers and texts.
class Bytes {
public:
    explicit Bytes(std::vector<u8>& target) : target_(target) {}

    template <typename T>
    Bytes& add(T value) {
        for (usize index = 0; index < sizeof(T); ++index)
            target_.push_back(static_cast<u8>(static_cast<u64>(value) >> (8 * index)));
        return *this;
    }
    Bytes& text(std::string_view text) {
        target_.insert(target_.end(), text.begin(), text.end());
        return *this;
    }
    Bytes& zeros(usize count) {
        target_.insert(target_.end(), count, 0);
        return *this;
    }
    Bytes& align(usize alignment) {
        while (target_.size() % alignment != 0) target_.push_back(0);
        return *this;
    }

private:
    std::vector<u8>& target_;
};

template <typename T>
void put(std::vector<u8>& bytes, usize offset, T value) {
    for (usize index = 0; index < sizeof(T); ++index)
        bytes.at(offset + index) = static_cast<u8>(static_cast<u64>(value) >> (8 * index));
}

// Makes the sum of [begin, begin + length) zero by the byte at `where`.
inline void fix_sum(std::vector<u8>& bytes, usize begin, usize length, usize where) {
    bytes.at(where) = 0;
    u8 sum = 0;
    for (usize index = begin; index < begin + length; ++index) sum = static_cast<u8>(sum + bytes.at(index));
    bytes.at(where) = static_cast<u8>(-sum);
}

}  // namespace graft::test
