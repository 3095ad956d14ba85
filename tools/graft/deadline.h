// Durations as the command line writes them, and the moment at which --timeout is over.
// Units: a bare number means seconds; the suffixes ms, s, m and h are understood.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/types.h"

namespace graft::tool {

using Milliseconds = std::chrono::milliseconds;

// Nothing for what isn't a duration, and for one over a year.
std::optional<Milliseconds> parse_duration(std::string_view text);

// Monotonic nanoseconds, the clock that the link is driven by.
u64 now_ns();

class Deadline {
public:
    Deadline() = default;  // never
    static Deadline after(std::optional<Milliseconds> duration);

    bool passed() const { return at_ns_ != 0 && now_ns() >= at_ns_; }
    // The earlier of this and `other_ns` (0 = never) as a timeout for poll(): -1 = wait for ever.
    int poll_timeout(u64 other_ns = 0) const;

private:
    u64 at_ns_ = 0;  // 0 = never
};

}  // namespace graft::tool
