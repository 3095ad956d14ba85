// Timer queue, log ring, command line, byte ring.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "drivers/byte_ring.h"
#include "kernel/pure/command_line.h"
#include "kernel/pure/log_ring.h"
#include "kernel/pure/timer_queue.h"

namespace graft::kernel {
namespace {

TEST(TimerQueue, IsAlwaysEarliestFirst) {
    std::mt19937 random(3);
    std::vector<std::unique_ptr<TimerEntry>> entries;
    for (int i = 0; i < 500; ++i) entries.push_back(std::make_unique<TimerEntry>());
    TimerQueue queue;
    usize queued = 0;
    for (int step = 0; step < 50'000; ++step) {
        TimerEntry& entry = *entries[random() % entries.size()];
        if (entry.is_queued()) {
            queue.remove(entry);
            --queued;
        } else {
            queue.insert(entry, random() % 10'000);
            ++queued;
        }
        ASSERT_EQ(queue.size(), queued);
        if (step % 50 != 0 || queue.empty()) continue;
        u64 least = ~u64{0};
        for (const auto& candidate : entries) {
            if (candidate->is_queued()) least = std::min(least, candidate->deadline_ns());
        }
        ASSERT_EQ(queue.earliest()->deadline_ns(), least);
    }
    u64 last = 0;
    while (TimerEntry* entry = queue.earliest()) {
        ASSERT_GE(entry->deadline_ns(), last);
        last = entry->deadline_ns();
        queue.remove(*entry);
    }
    EXPECT_EQ(queue.size(), 0u);
}

TEST(TimerQueue, TenThousandEqualDeadlinesNeedNoStack) {
    std::vector<TimerEntry> entries(10'000);
    TimerQueue queue;
    for (TimerEntry& entry : entries) queue.insert(entry, 5);
    for (usize i = 0; i < entries.size(); ++i) queue.remove(*queue.earliest());
    EXPECT_TRUE(queue.empty());
}

TEST(TimerQueue, KnowsWhetherAnEntryLiesInSomeMemory) {
    std::mt19937 random(5);
    std::vector<TimerEntry> entries(300);
    auto memory_of = [](const TimerEntry& entry) { return AddressRange::of(VirtAddr(&entry), sizeof entry); };
    TimerQueue queue;
    EXPECT_FALSE(queue.has_entry_within(memory_of(entries[0])));
    for (int step = 0; step < 3000; ++step) {
        TimerEntry& changed = entries[random() % entries.size()];
        changed.is_queued() ? queue.remove(changed) : queue.insert(changed, random() % 1000);
        const TimerEntry& asked = entries[random() % entries.size()];
        ASSERT_EQ(queue.has_entry_within(memory_of(asked)), asked.is_queued());
    }
}

TEST(TimerQueue, InsertingTwiceDies) {
    TimerEntry entry;
    TimerQueue queue;
    queue.insert(entry, 1);
    EXPECT_DEATH(queue.insert(entry, 2), "");
}

TEST(LogRing, ReadersLearnWhatTheyLost) {
    auto ring = std::make_unique<LogRing>();
    LogRecord record;
    u64 wanted = 0;
    EXPECT_FALSE(ring->read(wanted, record).found);
    EXPECT_EQ(ring->add(LogLevel::warning, 42, "first"), 0u);
    auto read = ring->read(wanted, record);
    EXPECT_TRUE(read.found);
    EXPECT_EQ(read.lost, 0u);
    EXPECT_EQ(record.view(), "first");
    EXPECT_EQ(record.time_ns, 42u);
    EXPECT_EQ(record.level, LogLevel::warning);
    EXPECT_EQ(wanted, 1u);

    for (usize i = 0; i < LogRing::kCapacity + 10; ++i) ring->add(LogLevel::info, i, "more");
    read = ring->read(wanted, record);
    EXPECT_TRUE(read.found);
    EXPECT_EQ(read.lost, 10u);
    EXPECT_EQ(record.sequence, 11u);
}

TEST(LogRing, LongTextsAreCut) {
    auto ring = std::make_unique<LogRing>();
    ring->add(LogLevel::info, 0, std::string(1000, 'x'));
    LogRecord record;
    u64 wanted = 0;
    ASSERT_TRUE(ring->read(wanted, record).found);
    EXPECT_EQ(record.view().size(), LogRecord::kTextCapacity);
}

TEST(CommandLine, FindsWordsAndValues) {
    CommandLine line("  log=debug quiet smp=4\ttext=\"two words\" empty= log=warning ");
    EXPECT_EQ(line.value("log"), "warning");
    EXPECT_EQ(line.value("quiet"), "");
    EXPECT_EQ(line.value("text"), "two words");
    EXPECT_EQ(line.value("empty"), "");
    EXPECT_FALSE(line.value("lo"));
    EXPECT_EQ(line.number("smp", 1), 4u);
    EXPECT_EQ(line.number("quiet", 7), 7u);
    EXPECT_TRUE(line.flag("quiet"));
    EXPECT_FALSE(line.flag("missing"));
}

TEST(CommandLine, NumbersHaveFactors) {
    EXPECT_EQ(parse_number("16"), 16u);
    EXPECT_EQ(parse_number("0x20"), 32u);
    EXPECT_EQ(parse_number("64K"), 65536u);
    EXPECT_EQ(parse_number("2M"), 2u << 20);
    EXPECT_FALSE(parse_number(""));
    EXPECT_FALSE(parse_number("12kk"));
    EXPECT_FALSE(parse_number("-1"));
    EXPECT_FALSE(parse_number("99999999999999999999"));
    EXPECT_FALSE(parse_number("18446744073709551615G"));
}

TEST(CommandLine, OddTextsDoNoHarm) {
    for (const char* text : {"", "=", "==", "a=\"", "\"", "a=\"b", "=x y", "   "}) {
        CommandLine line(text);
        usize position = 0;
        int words = 0;
        while (line.next_word(position)) ASSERT_LT(++words, 10) << text;
    }
    CommandLine cut(std::string(5000, 'k'));
    EXPECT_TRUE(cut.truncated());
}

TEST(ByteRing, KeepsOrderAcrossTheEdge) {
    drivers::ByteRing<16> ring;
    u8 next_in = 0;
    u8 next_out = 0;
    std::mt19937 random(5);
    for (int step = 0; step < 2000; ++step) {
        std::vector<u8> bytes(random() % 20);
        for (u8& byte : bytes) byte = next_in++;
        usize taken = ring.write(bytes);
        EXPECT_EQ(taken, std::min<usize>(bytes.size(), 16 - (ring.size() - taken)));
        next_in = static_cast<u8>(next_in - (bytes.size() - taken));
        std::vector<u8> out(random() % 20);
        usize count = ring.read(out);
        for (usize i = 0; i < count; ++i) ASSERT_EQ(out[i], next_out++);
    }
}

}  // namespace
}  // namespace graft::kernel
