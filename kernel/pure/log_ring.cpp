#include "kernel/pure/log_ring.h"

#include <cstring>

namespace graft::kernel {

u64 LogRing::add(LogLevel level, u64 time_ns, std::string_view text) {
    LogRecord& record = records_[next_ % kCapacity];
    usize length = text.size() < LogRecord::kTextCapacity ? text.size() : LogRecord::kTextCapacity;
    record.sequence = next_;
    record.time_ns = time_ns;
    record.level = level;
    record.length = static_cast<u16>(length);
    if (length != 0) std::memcpy(record.text, text.data(), length);
    return next_++;
}

LogRing::Read LogRing::read(u64& wanted, LogRecord& record) const {
    Read result;
    if (wanted < oldest_sequence()) {
        result.lost = oldest_sequence() - wanted;
        wanted = oldest_sequence();
    }
    if (wanted >= next_) return result;
    record = records_[wanted % kCapacity];
    ++wanted;
    result.found = true;
    return result;
}

}  // namespace graft::kernel
