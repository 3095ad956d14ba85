// LogRing: the last records of the kernel log. Each has a sequence number that never repeats; a reader keeps the number
// it wants next and learns how many records it lost when the ring has overtaken it.
//
// Locking: none; the owner locks. Context: any. Host-testable.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"
#include "patch/machine.h"

namespace graft::kernel {

using patch::LogLevel;
inline constexpr usize kLogLevelCount = 4;

constexpr std::string_view name_of(LogLevel level) {
    constexpr std::string_view kNames[kLogLevelCount] = {"debug", "info", "warning", "error"};
    return kNames[static_cast<usize>(level)];
}

struct LogRecord {
    static constexpr usize kTextCapacity = 232;  // longer texts are cut

    u64 sequence = 0;
    u64 time_ns = 0;
    LogLevel level = LogLevel::info;
    u16 length = 0;
    char text[kTextCapacity]{};

    std::string_view view() const { return {text, length}; }
};

class LogRing {
public:
    static constexpr usize kCapacity = 512;

    // Returns the record's sequence number; the first is 0.
    u64 add(LogLevel level, u64 time_ns, std::string_view text);

    u64 next_sequence() const { return next_; }
    u64 oldest_sequence() const { return next_ > kCapacity ? next_ - kCapacity : 0; }

    struct Read {
        bool found = false;
        u64 lost = 0;  // records overwritten between the wanted one and the one returned
    };
    // Copies the record with the sequence number `wanted`, or the oldest one left when that is gone, and moves `wanted`
    // past it. Not found: there is none that young yet.
    Read read(u64& wanted, LogRecord& record) const;

private:
    std::array<LogRecord, kCapacity> records_{};
    u64 next_ = 0;
};

}  // namespace graft::kernel
