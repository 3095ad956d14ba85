#include "tools/graft/deadline.h"

#include <algorithm>
#include <charconv>
#include <climits>

namespace graft::tool {

std::optional<Milliseconds> parse_duration(std::string_view text) {
    u64 count = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{}) return std::nullopt;
    std::string_view suffix(end, static_cast<usize>(text.data() + text.size() - end));

    u64 scale = 0;
    if (suffix == "ms") scale = 1;
    if (suffix == "s" || suffix.empty()) scale = 1000;
    if (suffix == "m") scale = 60 * 1000;
    if (suffix == "h") scale = 60 * 60 * 1000;
    constexpr u64 kYear = u64{366} * 24 * 60 * 60 * 1000;
    if (scale == 0 || count > kYear / scale) return std::nullopt;
    return Milliseconds(count * scale);
}

u64 now_ns() {
    auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(since_start).count());
}

Deadline Deadline::after(std::optional<Milliseconds> duration) {
    Deadline deadline;
    if (duration) deadline.at_ns_ = now_ns() + static_cast<u64>(duration->count()) * 1'000'000;
    return deadline;
}

int Deadline::poll_timeout(u64 other_ns) const {
    u64 earliest = std::min(at_ns_ == 0 ? ~u64{0} : at_ns_, other_ns == 0 ? ~u64{0} : other_ns);
    if (earliest == ~u64{0}) return -1;
    u64 now = now_ns();
    if (earliest <= now) return 0;
    u64 milliseconds = (earliest - now + 999'999) / 1'000'000;  // rounded up: never a busy loop before the moment
    return static_cast<int>(std::min<u64>(milliseconds, INT_MAX));
}

}  // namespace graft::tool
