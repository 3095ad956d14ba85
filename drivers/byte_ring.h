// ByteRing: a queue of bytes of fixed capacity, first in, first out. Never allocates.
// Locking: none; the owner locks. Context: any. Host-testable.
#pragma once

#include <array>
#include <span>

#include "base/types.h"

namespace graft::drivers {

template <usize Capacity>
class ByteRing {
    static_assert((Capacity & (Capacity - 1)) == 0);

public:
    usize size() const { return tail_ - head_; }
    usize room() const { return Capacity - size(); }
    bool empty() const { return head_ == tail_; }

    // False when it is full.
    bool push(u8 byte) {
        if (room() == 0) return false;
        bytes_[tail_++ % Capacity] = byte;
        return true;
    }
    // The ring must not be empty.
    u8 pop() { return bytes_[head_++ % Capacity]; }

    // As many as fit, or as there are; returns how many.
    usize write(std::span<const u8> from) {
        usize count = from.size() < room() ? from.size() : room();
        for (usize i = 0; i < count; ++i) bytes_[tail_++ % Capacity] = from[i];
        return count;
    }
    usize read(std::span<u8> into) {
        usize count = into.size() < size() ? into.size() : size();
        for (usize i = 0; i < count; ++i) into[i] = bytes_[head_++ % Capacity];
        return count;
    }

private:
    std::array<u8, Capacity> bytes_{};
    usize head_ = 0;  // both only grow; the difference is the size
    usize tail_ = 0;
};

}  // namespace graft::drivers
