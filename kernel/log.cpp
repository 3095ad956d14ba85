#include "kernel/log.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/serial_early.h"
#include "base/assert.h"
#include "kernel/console.h"
#include "kernel/lock.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

namespace {

constinit Guarded<LogRing, LockRank::log> ring;

constinit SpinLock readers_lock{LockRank::wait};
constinit WaitQueue readers;  // readers_lock

constinit std::atomic<LogLevel> console_level{LogLevel::info};
// What the console has had. Written by the boot flow, then by the console task, in a panic by the panicking processor.
constinit std::atomic<u64> console_next{0};
constinit std::atomic<bool> console_task_runs{false};

void wake_readers() {
    SpinGuard<IrqSave> guard(readers_lock);
    readers.wake_all();
}

bool is_for_console(const LogRecord& record) {
    return record.level >= console_level.load(std::memory_order_relaxed);
}

using ConsoleLine = Text<LogRecord::kTextCapacity + 64>;

// Takes one record for the console; false when there is none.
bool next_console_line(ConsoleLine& line) {
    LogRecord record;
    u64 wanted = console_next.load(std::memory_order_relaxed);  // one writer at a time
    auto read = read_log(wanted, record);
    if (!read.found) return false;
    line.clear();
    if (read.lost != 0) line.append("[log: ", read.lost, " records lost]\n");
    if (is_for_console(record)) append_log_line(line, record);
    console_next.store(wanted, std::memory_order_release);  // pairs with flush_log_to_console()
    return true;
}

void console_round(void*) {
    ConsoleLine line;
    if (!next_console_line(line)) {
        wait_for_log(console_next.load(std::memory_order_relaxed), kNever);
        return;
    }
    if (line.size() != 0) console_write(line.view());
    wake_readers();  // flush_log_to_console() waits among them
}

void write_at_boot() {
    ConsoleLine line;
    while (next_console_line(line)) arch::early_write(line.view());
}

}  // namespace

void log_quietly(LogLevel level, std::string_view text) {
    u64 now = arch::now_ns();
    ring.with([&](LogRing& all) { all.add(level, now, text); });
}

void log(LogLevel level, std::string_view text) {
    log_quietly(level, text);
    if (console_task_runs.load(std::memory_order_acquire)) {  // pairs with start_console_task()
        wake_readers();
    } else {
        write_at_boot();
    }
}

void set_console_level(LogLevel level) {
    console_level.store(level, std::memory_order_relaxed);
}

bool set_console_level(std::string_view name) {
    for (LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warning, LogLevel::error}) {
        if (name != name_of(level)) continue;
        set_console_level(level);
        return true;
    }
    return false;
}

LogRing::Read read_log(u64& wanted, LogRecord& record) {
    return ring.with([&](LogRing& all) { return all.read(wanted, record); });
}

u64 next_log_sequence() {
    return ring.with([](LogRing& all) { return all.next_sequence(); });
}

bool wait_for_log(u64 wanted, u64 deadline_ns) {
    SpinGuard<IrqSave> guard(readers_lock);
    while (next_log_sequence() <= wanted) {
        if (readers.wait(guard, deadline_ns) == WaitResult::timed_out) return next_log_sequence() > wanted;
    }
    return true;
}

void start_console_task() {
    TaskOptions options;
    options.repeats = true;
    options.name = "console";
    options.is_own = true;
    options.priority = kDefaultPriority;
    options.is_needed = true;
    options.uses_sse = false;
    console_task_runs.store(true, std::memory_order_release);  // pairs with log()
    auto handle = create_task(console_round, nullptr, options);
    GRAFT_ASSERT(handle);
}

void flush_log_to_console() {
    u64 end = next_log_sequence();
    {
        SpinGuard<IrqSave> guard(readers_lock);
        while (console_next.load(std::memory_order_acquire) < end)
            readers.wait(guard);  // pairs with next_console_line()
    }
    console_flush();
}

void dump_log_polled() {
    write_at_boot();
}

void append_log_line(TextBuffer& out, const LogRecord& record) {
    u64 seconds = record.time_ns / 1'000'000'000;
    u64 micros = record.time_ns / 1000 % 1'000'000;
    Text<32> number;
    number.append(seconds);
    out.append('[');
    for (usize i = number.size(); i < 5; ++i) out.append(' ');
    out.append(number.view(), '.');
    for (u64 digit = 100'000; digit != 0; digit /= 10) out.append(static_cast<char>('0' + micros / digit % 10));
    out.append("] ");
    if (record.level >= LogLevel::warning) out.append(name_of(record.level), ": ");
    out.append(record.view(), "\n");
}

}  // namespace graft::kernel
