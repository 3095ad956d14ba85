// The boot information of both protocols: what is read, and each refusal by an input that triggers only it.

#include <gtest/gtest.h>

#include "boot/parse_multiboot2.h"
#include "boot/parse_pvh.h"
#include "tests/unit/fake_memory.h"

namespace graft {
namespace {

using boot::BootFailure;
using boot::BootInfo;
using boot::MemoryType;
using test::Bytes;
using test::FakeMemory;
using test::put;

constexpr PhysAddr kWhere{0x9000};

// ---- multiboot2 ----

class Multiboot2 : public ::testing::Test {
protected:
    Multiboot2() { Bytes(bytes_).add<u32>(0).add<u32>(0); }

    // Returns where the tag begins.
    usize add_tag(u32 type, const std::vector<u8>& body) {
        Bytes(bytes_).align(8);
        usize at = bytes_.size();
        Bytes(bytes_).add<u32>(type).add<u32>(static_cast<u32>(8 + body.size()));
        bytes_.insert(bytes_.end(), body.begin(), body.end());
        return at;
    }

    usize add_memory_map(std::initializer_list<std::array<u64, 3>> entries, u32 entry_size = 24) {
        std::vector<u8> body;
        Bytes(body).add<u32>(entry_size).add<u32>(0);
        for (const auto& [begin, length, type] : entries) {
            Bytes(body).add<u64>(begin).add<u64>(length).add<u32>(static_cast<u32>(type)).add<u32>(0);
            if (entry_size > 24) Bytes(body).zeros(entry_size - 24);
        }
        return add_tag(6, body);
    }

    Result<void, boot::BootError> parse() {
        Bytes(bytes_).align(8);
        Bytes(bytes_).add<u32>(0).add<u32>(8);
        put<u32>(bytes_, 0, static_cast<u32>(bytes_.size()));
        return parse_as_is();
    }
    Result<void, boot::BootError> parse_as_is() {
        return boot::parse_multiboot2(std::as_bytes(std::span(bytes_)), kWhere, info_);
    }

    std::vector<u8> bytes_;
    BootInfo info_;
};

TEST_F(Multiboot2, ReadsWhatALoaderTells) {
    add_tag(1, {'a', '=', '1', '\0'});
    std::vector<u8> module;
    Bytes(module).add<u32>(0x400000).add<u32>(0x400123).text("fix.klp").add<u8>(0);
    add_tag(3, module);
    add_memory_map({{0, 0x9fc00, 1}, {0x100000, 0x700000, 1}, {0x800000, 0x1000, 3}, {0x900000, 0x1000, 77}}, 32);
    usize rsdp = add_tag(15, std::vector<u8>(36));
    add_tag(14, std::vector<u8>(20));
    add_tag(0x1234, {1, 2, 3});

    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.protocol, BootInfo::Protocol::multiboot2);
    EXPECT_EQ(info_.command_line.view(), "a=1");
    ASSERT_EQ(info_.module_count, 1u);
    EXPECT_EQ(info_.modules[0].range.begin.value, 0x400000u);
    EXPECT_EQ(info_.modules[0].range.end.value, 0x400123u);
    EXPECT_EQ(info_.modules[0].name.view(), "fix.klp");
    ASSERT_EQ(info_.memory_count, 4u);
    EXPECT_EQ(info_.memory[0].range.end.value, 0x9fc00u);
    EXPECT_EQ(info_.memory[2].type, MemoryType::acpi_reclaimable);
    EXPECT_EQ(info_.memory[3].type, MemoryType::reserved);
    EXPECT_EQ(info_.rsdp.value, kWhere.value + rsdp + 8);
    EXPECT_FALSE(info_.entries_dropped);
}

TEST_F(Multiboot2, TakesTheOldRsdpWithoutANewOne) {
    add_memory_map({{0, 0x1000, 1}});
    usize rsdp = add_tag(14, std::vector<u8>(20));
    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.rsdp.value, kWhere.value + rsdp + 8);
}

TEST_F(Multiboot2, CutsALongCommandLine) {
    add_memory_map({{0, 0x1000, 1}});
    add_tag(1, std::vector<u8>(boot::kMaxCommandLine + 1, 'x'));
    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.command_line.view().size(), boot::kMaxCommandLine);
    EXPECT_TRUE(info_.command_line.cut);
}

TEST_F(Multiboot2, DropsEmptyAndWrappingRanges) {
    add_memory_map({{0x1000, 0, 1}, {~u64{0} - 5, 100, 1}, {0x2000, 0x1000, 1}});
    ASSERT_TRUE(parse());
    ASSERT_EQ(info_.memory_count, 1u);
    EXPECT_EQ(info_.memory[0].range.begin.value, 0x2000u);
}

TEST_F(Multiboot2, SaysWhenEntriesDoNotFit) {
    for (usize index = 0; index <= boot::kMaxMemoryEntries; ++index) add_memory_map({{index << 20, 0x1000, 1}});
    for (usize index = 0; index <= boot::kMaxModules; ++index) add_tag(3, std::vector<u8>(9));
    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.memory_count, boot::kMaxMemoryEntries);
    EXPECT_EQ(info_.module_count, boot::kMaxModules);
    EXPECT_TRUE(info_.entries_dropped);
}

TEST_F(Multiboot2, RefusesASizeBelowItsHeader) {
    add_memory_map({{0, 0x1000, 1}});
    put<u32>(bytes_, 0, 7);
    auto result = parse_as_is();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().failure, BootFailure::bad_size);
    EXPECT_EQ(result.error().found, 7u);
}

TEST_F(Multiboot2, RefusesASizeBeyondItsBytes) {
    add_memory_map({{0, 0x1000, 1}});
    put<u32>(bytes_, 0, static_cast<u32>(bytes_.size() + 1));
    EXPECT_EQ(parse_as_is().error().failure, BootFailure::bad_size);
}

TEST_F(Multiboot2, RefusesATagLongerThanTheRest) {
    usize at = add_memory_map({{0, 0x1000, 1}});
    put<u32>(bytes_, at + 4, 4096);
    auto result = parse();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().failure, BootFailure::bad_size);
    EXPECT_EQ(result.error().where.value, kWhere.value + at);
}

TEST_F(Multiboot2, RefusesATagShorterThanItsHeader) {
    usize at = add_memory_map({{0, 0x1000, 1}});
    put<u32>(bytes_, at + 4, 7);
    EXPECT_EQ(parse().error().failure, BootFailure::bad_size);
}

TEST_F(Multiboot2, RefusesAModuleThatEndsBeforeItBegins) {
    add_memory_map({{0, 0x1000, 1}});
    std::vector<u8> module;
    Bytes(module).add<u32>(0x2000).add<u32>(0x1000).add<u8>(0);
    add_tag(3, module);
    EXPECT_EQ(parse().error().failure, BootFailure::bad_tag);
}

TEST_F(Multiboot2, RefusesAShortModule) {
    add_memory_map({{0, 0x1000, 1}});
    add_tag(3, std::vector<u8>(7));
    EXPECT_EQ(parse().error().failure, BootFailure::bad_tag);
}

TEST_F(Multiboot2, RefusesMapEntriesThatAreTooSmall) {
    add_memory_map({{0, 0x1000, 1}}, 16);
    EXPECT_EQ(parse().error().failure, BootFailure::bad_tag);
}

TEST_F(Multiboot2, RefusesToGoWithoutAMap) {
    EXPECT_EQ(parse().error().failure, BootFailure::no_memory_map);
}

// ---- PVH ----

class Pvh : public ::testing::Test {
protected:
    Pvh() {
        Bytes(memory_.at(0x1000))
            .add<u32>(boot::kPvhMagic)
            .add<u32>(1)
            .add<u32>(0)
            .add<u32>(1)  // magic, version, flags, modules
            .add<u64>(0x2000)
            .add<u64>(0x3000)
            .add<u64>(0xf5000)  // modules, command line, rsdp
            .add<u64>(0x4000)
            .add<u32>(2)
            .add<u32>(0);  // map, its count
        Bytes(memory_.at(0x2000)).add<u64>(0x500000).add<u64>(0x100).add<u64>(0x3100).add<u64>(0);
        Bytes(memory_.at(0x3000)).text("log=debug").add<u8>(0);
        Bytes(memory_.at(0x3100)).text("module").add<u8>(0);
        Bytes(memory_.at(0x4000))
            .add<u64>(0)
            .add<u64>(0x9fc00)
            .add<u32>(1)
            .add<u32>(0)
            .add<u64>(0x100000)
            .add<u64>(0x7f00000)
            .add<u32>(1)
            .add<u32>(0);
    }

    Result<void, boot::BootError> parse() { return boot::parse_pvh(memory_, PhysAddr{0x1000}, info_); }

    FakeMemory memory_;
    BootInfo info_;
};

TEST_F(Pvh, ReadsWhatAMonitorTells) {
    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.protocol, BootInfo::Protocol::pvh);
    EXPECT_EQ(info_.command_line.view(), "log=debug");
    EXPECT_EQ(info_.rsdp.value, 0xf5000u);
    ASSERT_EQ(info_.module_count, 1u);
    EXPECT_EQ(info_.modules[0].range.size(), 0x100u);
    EXPECT_EQ(info_.modules[0].name.view(), "module");
    ASSERT_EQ(info_.memory_count, 2u);
    EXPECT_EQ(info_.memory[1].range.end.value, 0x8000000u);
}

TEST_F(Pvh, ReadsTheSixteenBytesLessOfTheOldVersion) {
    memory_.at(0x1000).resize(40);
    put<u32>(memory_.at(0x1000), 4, 0);
    // It has no map, so nothing can be booted with it; but the reason is that, not the missing bytes.
    EXPECT_EQ(parse().error().failure, BootFailure::no_memory_map);
    EXPECT_EQ(info_.command_line.view(), "log=debug");
}

TEST_F(Pvh, GoesWithoutTextsAndModules) {
    put<u32>(memory_.at(0x1000), 12, 0);
    put<u64>(memory_.at(0x1000), 24, 0);
    ASSERT_TRUE(parse());
    EXPECT_EQ(info_.command_line.view(), "");
    EXPECT_EQ(info_.module_count, 0u);
}

TEST_F(Pvh, RefusesAnotherMagic) {
    put<u32>(memory_.at(0x1000), 0, 1);
    EXPECT_EQ(parse().error().failure, BootFailure::bad_magic);
}

TEST_F(Pvh, RefusesAStructureThatCannotBeRead) {
    memory_.at(0x1000).resize(50);
    EXPECT_EQ(parse().error().failure, BootFailure::unreadable);
}

TEST_F(Pvh, RefusesATextWithoutAnEnd) {
    memory_.at(0x3000).pop_back();
    EXPECT_EQ(parse().error().failure, BootFailure::unreadable);
}

TEST_F(Pvh, RefusesAModuleThatWraps) {
    put<u64>(memory_.at(0x2000), 8, ~u64{0});
    EXPECT_EQ(parse().error().failure, BootFailure::bad_tag);
}

TEST_F(Pvh, RefusesAMapThatCannotBeRead) {
    put<u32>(memory_.at(0x1000), 48, 3);
    EXPECT_EQ(parse().error().failure, BootFailure::unreadable);
}

}  // namespace
}  // namespace graft
