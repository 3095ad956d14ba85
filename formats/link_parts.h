// What the parts of LinkEndpoint share among themselves: link.cpp (sessions and time), link_receiving.cpp (frames and
// acknowledgements that come in), link_sending.cpp (frames that go out).
#pragma once

#include "formats/link.h"

namespace graft::formats {

// Reasons in a reset frame.
enum class ResetReason : u8 { unknown = 1, replaced = 2, closed = 3, version = 4, timed_out = 5 };

// How far `later` is after `earlier` on the circle of sequence numbers; negative when it is before.
constexpr int distance(u16 earlier, u16 later) {
    return static_cast<i16>(static_cast<u16>(later - earlier));
}

constexpr Nanoseconds after(Nanoseconds now, Nanoseconds delay) {
    return now > kNever - delay ? kNever : now + delay;
}

}  // namespace graft::formats
