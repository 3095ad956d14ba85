#include "formats/image_tables.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tools/image/tables_writer.h"

namespace graft {
namespace {

using namespace formats;
using Reason = ImageTablesError::Reason;
using tools::TablesInput;

constexpr u64 kBase = 0xffffffff80200000;

// Two functions called `same`, an alias pair, a part of a function, an object, a mark; deliberately out of order.
TablesInput sample() {
    TablesInput input;
    input.image_base = kBase;
    input.text_begin = 0x1000;
    input.text_end = 0x2000;
    input.eh_frame = 0x3000;
    input.eh_frame_size = 0x100;
    input.build_id = {1, 2, 3};
    input.symbols = {
        {"same", "same", 0x1200, 0x20, SymbolType::function, kSymbolLocal | kSymbolHasSite, -1},
        {"_Z4workv", "work()", 0x1000, 0x40, SymbolType::function, kSymbolHasSite | kSymbolHasReturn, -1},
        {"_Z4workv.cold", "work() [cold]", 0x1800, 0x8, SymbolType::function, kSymbolLocal, 1},
        {"same", "same", 0x1100, 0x20, SymbolType::function, kSymbolLocal, -1},
        {"C2", "C2", 0x1300, 0x10, SymbolType::function, 0, -1},
        {"C1", "C1", 0x1300, 0x10, SymbolType::function, 0, -1},
        {"__text_begin", "__text_begin", 0x1000, 0, SymbolType::mark, 0, -1},
        {"table", "table", 0x4000, 0x80, SymbolType::object, 0, -1},
    };
    input.frames = {{0x1100, 0x20, 0x30}, {0x1000, 0x40, 0x10}, {0x1800, 8, 0x50}};
    return input;
}

std::string_view name_at(const ImageTables& tables, u64 address) {
    auto index = tables.symbol_at(VirtAddr(address));
    return index ? tables.name(tables.symbol(*index)) : "";
}

ImageTablesError error_of(const std::vector<std::byte>& bytes) {
    auto tables = ImageTables::open(bytes);
    EXPECT_FALSE(tables);
    return tables ? ImageTablesError{} : tables.error();
}

template <typename T>
void put(std::vector<std::byte>& bytes, usize at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof(value));
}

ImageTablesHeader header_of(const std::vector<std::byte>& bytes) {
    ImageTablesHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    return header;
}

TEST(ImageTables, FindsByAddress) {
    auto bytes = tools::write_tables(sample());
    auto tables = ImageTables::open(bytes);
    ASSERT_TRUE(tables);
    EXPECT_EQ(name_at(*tables, kBase + 0x1000), "_Z4workv");
    EXPECT_EQ(name_at(*tables, kBase + 0x103f), "_Z4workv");
    EXPECT_EQ(name_at(*tables, kBase + 0x1040), "");
    EXPECT_EQ(name_at(*tables, kBase + 0x407f), "table");
    EXPECT_EQ(name_at(*tables, kBase + 0x0fff), "");
    EXPECT_EQ(name_at(*tables, 0x1000), "");
    EXPECT_EQ(name_at(*tables, kBase + 0x1308), "C1") << "the canonical one of two aliases";
    EXPECT_FALSE(tables->function_at_entry(VirtAddr(kBase + 0x1001)));
    EXPECT_FALSE(tables->function_at_entry(VirtAddr(kBase + 0x4000))) << "an object is no function";
    auto entry = tables->function_at_entry(VirtAddr(kBase + 0x1000));
    ASSERT_TRUE(entry);
    EXPECT_EQ(tables->display_name(tables->symbol(*entry)), "work()");
    EXPECT_EQ(tables->text(), (AddressRange{VirtAddr(kBase + 0x1000), VirtAddr(kBase + 0x2000)}));
    EXPECT_EQ(tables->build_id()[1], 2);
}

TEST(ImageTables, FindsByNameAndPosition) {
    auto bytes = tools::write_tables(sample());
    auto tables = ImageTables::open(bytes);
    ASSERT_TRUE(tables);
    EXPECT_EQ(tables->find_name("same").count, 2u);
    EXPECT_EQ(tables->find_name("sam").count, 0u);
    EXPECT_EQ(tables->find_name("").count, 0u);
    auto first = tables->find("same", 1);
    auto second = tables->find("same", 2);
    ASSERT_TRUE(first && second);
    EXPECT_EQ(tables->address(tables->symbol(*first)).value, kBase + 0x1100);
    EXPECT_EQ(tables->address(tables->symbol(*second)).value, kBase + 0x1200);
    EXPECT_FALSE(tables->find("same", 3));
    EXPECT_TRUE(tables->symbol(*second).has(kSymbolHasSite));
    EXPECT_FALSE(tables->symbol(*first).has(kSymbolHasSite));
    EXPECT_EQ(tables->symbol(*tables->find("__text_begin", 1)).type, SymbolType::mark);
}

TEST(ImageTables, KnowsPartsAndAliases) {
    auto bytes = tools::write_tables(sample());
    auto tables = ImageTables::open(bytes);
    ASSERT_TRUE(tables);
    auto work = tables->find("_Z4workv", 1);
    ASSERT_TRUE(work);
    auto part = tables->next_part(*work, *work);
    ASSERT_TRUE(part);
    EXPECT_EQ(tables->name(tables->symbol(*part)), "_Z4workv.cold");
    EXPECT_FALSE(tables->next_part(*work, *part));
    auto same = tables->find("same", 1);
    EXPECT_FALSE(tables->next_part(*same, *same));
    EXPECT_TRUE(tables->symbol(*tables->find("C1", 1)).has(kSymbolAlias));
    EXPECT_TRUE(tables->symbol(*tables->find("C2", 1)).has(kSymbolAlias));
    EXPECT_FALSE(tables->symbol(*work).has(kSymbolAlias)) << "a mark at the same address is no alias";
}

TEST(ImageTables, FindsFrames) {
    auto bytes = tools::write_tables(sample());
    auto tables = ImageTables::open(bytes);
    ASSERT_TRUE(tables);
    ASSERT_EQ(tables->frame_count(), 3u);
    EXPECT_EQ(tables->frame_at(VirtAddr(kBase + 0x103f))->fde, 0x10u);
    EXPECT_FALSE(tables->frame_at(VirtAddr(kBase + 0x1040)));
    EXPECT_FALSE(tables->frame_at(VirtAddr(kBase + 0xfff)));
    EXPECT_EQ(tables->frame_at(VirtAddr(kBase + 0x1100))->fde, 0x30u);
    EXPECT_EQ(tables->frame_at(VirtAddr(kBase + 0x1807))->begin, 0x1800u);
}

TEST(ImageTables, ReadsAnUnalignedSectionWithATail) {
    auto bytes = tools::write_tables(sample());
    std::vector<std::byte> shifted(bytes.size() + 17);
    std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
    auto tables = ImageTables::open(std::span(shifted).subspan(1));
    ASSERT_TRUE(tables);
    EXPECT_EQ(name_at(*tables, kBase + 0x1000), "_Z4workv");
}

TEST(ImageTables, RefusesEachDamage) {
    const auto good = tools::write_tables(sample());
    const auto header = header_of(good);
    const usize symbols = header.symbols_at;

    auto bytes = good;
    bytes.resize(sizeof(ImageTablesHeader) - 1);
    EXPECT_EQ(error_of(bytes).reason, Reason::too_short);
    EXPECT_EQ(error_of({}).reason, Reason::too_short);
    put<u32>(bytes = good, offsetof(ImageTablesHeader, magic), 1);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_magic);
    put<u32>(bytes = good, offsetof(ImageTablesHeader, version), formats::kImageTablesVersion + 1);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_version);
    put<u32>(bytes = good, offsetof(ImageTablesHeader, total_size), header.total_size + 1);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_size);
    put<u32>(bytes = good, offsetof(ImageTablesHeader, symbol_count), 0xffffffff);
    EXPECT_EQ(error_of(bytes).reason, Reason::array_outside);
    put<u32>(bytes = good, offsetof(ImageTablesHeader, frames_at), header.frames_at + 2);
    EXPECT_EQ(error_of(bytes).reason, Reason::array_outside);
    put<u32>(bytes = good, symbols + offsetof(ImageSymbol, name), header.strings_size);
    EXPECT_EQ(error_of(bytes).reason, Reason::name_outside);
    (bytes = good).back() = std::byte{'x'};
    EXPECT_EQ(error_of(bytes).reason, Reason::name_outside) << "the last name isn't terminated";
    put<u32>(bytes = good, symbols + offsetof(ImageSymbol, offset), 0x9000);
    EXPECT_EQ(error_of(bytes).reason, Reason::symbols_unsorted);
    put<u8>(bytes = good, symbols + offsetof(ImageSymbol, type), 9);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_symbol);
    put<u32>(bytes = good, symbols + offsetof(ImageSymbol, size), 0xffffffff);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_symbol);
    put<u32>(bytes = good, symbols + offsetof(ImageSymbol, parent), 1);
    EXPECT_EQ(error_of(bytes).reason, Reason::bad_parent);
    put<u32>(bytes = good, header.name_order_at, header.symbol_count);
    EXPECT_EQ(error_of(bytes).reason, Reason::names_unsorted);
    put<u32>(bytes = good, header.name_order_at, 0);
    EXPECT_EQ(error_of(bytes).reason, Reason::names_unsorted);
    put<u32>(bytes = good, header.frames_at + offsetof(ImageFrame, size), 0x200);
    EXPECT_EQ(error_of(bytes).reason, Reason::frames_overlap);
}

TEST(ImageTables, SurvivesEveryByteFlipped) {
    const auto good = tools::write_tables(sample());
    for (usize i = 0; i < good.size(); ++i) {
        auto bytes = good;
        bytes[i] ^= std::byte{0x81};
        auto tables = ImageTables::open(bytes);
        if (!tables) continue;
        (void)tables->find_name("same");
        for (u64 offset = 0; offset < 0x5000; offset += 0x10) {
            (void)tables->symbol_at(VirtAddr(kBase + offset));
            (void)tables->frame_at(VirtAddr(kBase + offset));
        }
    }
}

}  // namespace
}  // namespace graft
