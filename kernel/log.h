// The kernel log: records in a ring, for readers that may wait for more, and on the console.
//
// Context of log(): any, but with no lock of rank wait or above held (it wakes readers). Whoever holds one, or runs
// where nobody may be woken, uses log_quietly(): its record is seen with the next one.
#pragma once

#include "base/text.h"
#include "base/types.h"
#include "kernel/pure/log_ring.h"

namespace graft::kernel {

void log(LogLevel level, std::string_view text);
void log_quietly(LogLevel level, std::string_view text);

template <typename First, typename... Rest>
void log_parts(LogLevel level, const First& first, const Rest&... rest) {
    Text<LogRecord::kTextCapacity> text;
    text.append(first);
    (text.append(rest), ...);
    log(level, text.view());
}

// Records below this level don't go to the console.
void set_console_level(LogLevel level);
// False when the word is none of the level names.
bool set_console_level(std::string_view name);

// Takes the record `wanted` names and moves it on; see LogRing::read(). Context: any.
LogRing::Read read_log(u64& wanted, LogRecord& record);
// Sleeps until there is a record `wanted` or younger, or `deadline_ns`. False at the deadline. Context: task.
bool wait_for_log(u64 wanted, u64 deadline_ns);
u64 next_log_sequence();

// Makes the task that writes the log to the console. Until then log() writes there itself, by the polled port.
// Context: boot.
void start_console_task();
// Waits until what is logged so far has gone to the console. Context: task.
void flush_log_to_console();
// Writes what the console has not had yet by the polled port. Context: panic.
void dump_log_polled();

// "[   12.345678] text\n", warnings and errors marked.
void append_log_line(TextBuffer& out, const LogRecord& record);

}  // namespace graft::kernel
