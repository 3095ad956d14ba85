// Which memory is given out before and to the kernel's allocator.

#include <gtest/gtest.h>

#include "boot/early_memory.h"

namespace graft::boot {
namespace {

using arch::PhysRange;

constexpr PhysRange range(u64 begin, u64 end) {
    return {PhysAddr{begin}, PhysAddr{end}};
}

class EarlyMemoryTest : public ::testing::Test {
protected:
    EarlyMemoryTest() {
        add(0, 0x9fc00, MemoryType::usable);
        add(0xf0000, 0x100000, MemoryType::reserved);
        add(0x100000, 0x8000000, MemoryType::usable);
    }

    void add(u64 begin, u64 end, MemoryType type) { info_.memory[info_.memory_count++] = {range(begin, end), type}; }
    void add_module(u64 begin, u64 end) { info_.modules[info_.module_count++].range = range(begin, end); }
    std::vector<PhysRange> free_ranges() {
        EarlyMemory memory(info_, kImage);
        return {memory.free_ranges().begin(), memory.free_ranges().end()};
    }

    static constexpr PhysRange kImage = range(0x200000, 0x300000);
    BootInfo info_;
};

TEST_F(EarlyMemoryTest, LeavesOutLowMemoryAndImage) {
    EXPECT_EQ(free_ranges(), (std::vector{range(0x100000, 0x200000), range(0x300000, 0x8000000)}));
}

TEST_F(EarlyMemoryTest, LeavesOutModulesByWholePages) {
    add_module(0x400001, 0x400fff);
    add_module(0x7fff000, 0x8000000);
    EXPECT_EQ(free_ranges(),
              (std::vector{range(0x100000, 0x200000), range(0x300000, 0x400000), range(0x401000, 0x7fff000)}));
}

TEST_F(EarlyMemoryTest, KnowsWhatIsRam) {
    add(0x8000000, 0x9000000, MemoryType::acpi_nvs);  // goes on from the one before
    add(arch::kDirectMapSize - 0x1000, arch::kDirectMapSize + 0x1000, MemoryType::usable);
    EarlyMemory memory(info_, kImage);
    EXPECT_TRUE(memory.is_in_ram(range(0x100000, 0x100001)));
    EXPECT_TRUE(memory.is_in_ram(range(0x7000000, 0x9000000)));
    EXPECT_TRUE(memory.is_in_ram(range(0x20000000, 0x20000000)));
    EXPECT_FALSE(memory.is_in_ram(range(0x8ffffff, 0x9000001)));
    EXPECT_FALSE(memory.is_in_ram(range(0x9000000, 0x9000001)));
    EXPECT_FALSE(memory.is_in_ram(range(0xfee00000, 0xfee01000)));
    EXPECT_TRUE(memory.is_in_ram(range(arch::kDirectMapSize - 1, arch::kDirectMapSize)));
    EXPECT_FALSE(memory.is_in_ram(range(arch::kDirectMapSize - 1, arch::kDirectMapSize + 1)));
    EXPECT_FALSE(memory.is_in_ram(range(arch::kDirectMapSize, ~u64{0})));
}

TEST_F(EarlyMemoryTest, BelievesTheStricterOfTwoEntries) {
    add(0x7000000, 0x7001000, MemoryType::reserved);
    EXPECT_EQ(free_ranges().back(), range(0x7001000, 0x8000000));
}

TEST_F(EarlyMemoryTest, GivesNothingTwice) {
    add(0x1000000, 0x2000000, MemoryType::usable);
    EXPECT_EQ(free_ranges().size(), 2u);
}

TEST_F(EarlyMemoryTest, AllocatesWithoutOverlap) {
    EarlyMemory memory(info_, kImage);
    PhysAddr first = memory.allocate_pages(1);
    PhysAddr second = memory.allocate_pages(3);
    EXPECT_EQ(first.value, 0x100000u);
    EXPECT_EQ(second.value, 0x101000u);
    EXPECT_EQ(memory.free_ranges()[0].begin.value, 0x104000u);
    // What doesn't fit into the first range comes from the next.
    EXPECT_EQ(memory.allocate_pages(0x100).value, 0x300000u);
    EXPECT_FALSE(memory.allocate_pages(1 << 20));
}

TEST_F(EarlyMemoryTest, AllocatesOnlyWhatIsMappedEarly) {
    info_.memory_count = 0;
    add(u64{4} << 30, u64{5} << 30, MemoryType::usable);
    EarlyMemory memory(info_, kImage);
    EXPECT_FALSE(memory.allocate_pages(1));
    EXPECT_EQ(memory.free_ranges().size(), 1u);
}

TEST_F(EarlyMemoryTest, GivesNothingThatTheDirectMapDoesNotShow) {
    add(u64{8} << 40, u64{9} << 40, MemoryType::usable);
    add(~u64{0} - 0x7ff, ~u64{0}, MemoryType::usable);
    EXPECT_EQ(free_ranges().back().end.value, 0x8000000u);
}

TEST_F(EarlyMemoryTest, TakesOutWhatReachesToTheEndOfAddresses) {
    add(0x7000000, ~u64{0}, MemoryType::reserved);
    EXPECT_EQ(free_ranges().back().end.value, 0x7000000u);
}

TEST_F(EarlyMemoryTest, FindsALowPage) {
    EXPECT_EQ(EarlyMemory(info_, kImage).low_page(), PhysAddr{0x1000});
    add_module(0x1000, 0x2800);
    EXPECT_EQ(EarlyMemory(info_, kImage).low_page(), PhysAddr{0x3000});
    info_.memory[0].type = MemoryType::reserved;
    EXPECT_FALSE(EarlyMemory(info_, kImage).low_page());
}

TEST_F(EarlyMemoryTest, ShowsAllRam) {
    add(0x8000000, 0x8010000, MemoryType::acpi_reclaimable);
    EarlyMemory memory(info_, kImage);
    std::vector<PhysRange> ram(memory.ram().begin(), memory.ram().end());
    EXPECT_EQ(ram, (std::vector{range(0, 0x100000), range(0x100000, 0x8000000), range(0x8000000, 0x8010000)}));
}

}  // namespace
}  // namespace graft::boot
