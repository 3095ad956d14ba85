#include "arch/x86_64/pure/eh_frame.h"

#include <gtest/gtest.h>

#include <functional>

#include "arch/x86_64/pure/cfi.h"
#include "tests/unit/frame_builder.h"

namespace graft::arch {
namespace {

constexpr VirtAddr kTableAt{0xffffffff80400000};
constexpr VirtAddr kText{0xffffffff80200000};
constexpr AddressRange kAllowed{kText, VirtAddr(0xffffffff80210000)};

Result<usize, FrameError> verify(FrameTable table, TableOwner owner = TableOwner::patch, usize room = 16) {
    std::vector<FrameIndexEntry> index(room);
    return verify_frames(table, std::span(&kAllowed, 1), owner, index);
}

FrameFault fault_of(const Result<usize, FrameError>& result) {
    EXPECT_FALSE(result);
    return result ? FrameFault::index_full : result.error().fault;
}

TEST(ArchEhFrame, ReadsWhatGccEmits) {
    FrameBuilder builder(kTableAt);
    builder.cie();
    builder.fde(kText + 0x40, 0x20, {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x5a, 0x0c, 7, 8});
    auto fde = parse_fde(builder.table(), 24);
    ASSERT_TRUE(fde);
    EXPECT_EQ(fde->range, AddressRange::of(kText + 0x40, 0x20));
    auto row = find_row(*fde, kText + 0x42);
    ASSERT_TRUE(row);
    EXPECT_EQ(row->cfa.base, Register::rsp);
    EXPECT_EQ(row->cfa.offset, 16);
    EXPECT_EQ(row->rule(Register::rbp).offset, -16);
    row = find_row(*fde, kText + 0x44);
    EXPECT_EQ(row->cfa.base, Register::rbp);
    EXPECT_EQ(row->cfa.offset, 16);
    EXPECT_EQ(row->rule(Register::rip).offset, -8);
    row = find_row(*fde, kText + 0x5f);
    EXPECT_EQ(row->cfa.base, Register::rsp);
    EXPECT_EQ(row->cfa.offset, 8);
    EXPECT_EQ(verify(builder.table()), 1u);
}

TEST(ArchEhFrame, ReadsEachEncoding) {
    for (u8 encoding : {0x00, 0x04, 0x0c, 0x10, 0x14, 0x1c, 0x0b, 0x1b, 0x13}) {
        FrameBuilder builder(kTableAt);
        builder.cie({.encoding = encoding});
        builder.fde(kText, 0x10);
        // 4-byte unsigned fields relative to their place can't reach backwards.
        if (encoding == 0x13)
            EXPECT_EQ(fault_of(verify(builder.table())), FrameFault::outside_allowed_code);
        else
            EXPECT_EQ(verify(builder.table()), 1u) << unsigned{encoding};
    }
    FrameBuilder bare(kTableAt);
    bare.cie({.augmentation = ""});
    bare.fde(kText, 0x10);
    EXPECT_EQ(verify(bare.table()), 1u);
}

TEST(ArchEhFrame, IndexIsSortedAndFinds) {
    FrameBuilder builder(kTableAt);
    builder.cie();
    builder.fde(kText + 0x100, 0x10);
    builder.fde(kText, 0x80);
    builder.fde(kText + 0x110, 0x30);
    builder.fde(VirtAddr(), 0);  // dropped
    builder.terminator();
    builder.bytes().resize(builder.bytes().size() + 12);
    EXPECT_EQ(count_functions(builder.table()), 3u);
    std::vector<FrameIndexEntry> index(3);
    ASSERT_EQ(build_index(builder.table(), index), 3u);
    EXPECT_EQ(index[0].begin, kText);
    EXPECT_EQ(index[2].begin, kText + 0x110);
    EXPECT_EQ(find_in_index(index, kText + 0x7f)->begin, kText);
    EXPECT_FALSE(find_in_index(index, kText + 0x80));
    EXPECT_FALSE(find_in_index(index, kText - 1));
    EXPECT_EQ(find_in_index(index, kText + 0x10f)->begin, kText + 0x100);
    EXPECT_EQ(find_in_index(index, kText + 0x110)->begin, kText + 0x110);
    EXPECT_FALSE(find_in_index({}, kText));
    EXPECT_TRUE(check_covered(index, AddressRange::of(kText, 0x80)));
    EXPECT_EQ(check_covered(index, AddressRange::of(kText, 0x81)).error().fault, FrameFault::function_not_covered);
    EXPECT_EQ(check_covered(index, AddressRange::of(kText + 0x90, 1)).error().fault, FrameFault::function_not_covered);
    EXPECT_EQ(build_index(builder.table(), std::span(index).first(2)).error().fault, FrameFault::index_full);
}

struct Breakage {
    const char* name;
    FrameFault fault;
    std::function<void(FrameBuilder&)> build;
};

FrameBuilder::CieOptions with_program(std::vector<u8> program) {
    return {.program = std::move(program)};
}

// Each table is right but for one thing.
TEST(ArchEhFrame, RefusesEachBreakage) {
    auto program = [](std::vector<u8> bytes) {
        return [bytes](FrameBuilder& b) {
            b.cie();
            b.fde(kText, 0x40, bytes);
        };
    };
    auto cie = [](FrameBuilder::CieOptions options) {
        return [options](FrameBuilder& b) {
            b.cie(options);
            b.fde(kText, 0x40);
        };
    };
    auto after = [](std::function<void(std::vector<u8>&)> change) {
        return [change](FrameBuilder& b) {
            b.cie();
            b.fde(kText, 0x40);
            change(b.bytes());
        };
    };
    const std::vector<Breakage> breakages = {
        {"cut length", FrameFault::truncated, after([](auto& b) { b.resize(b.size() + 3, 1); })},
        {"cut entry", FrameFault::truncated, after([](auto& b) { b.pop_back(); })},
        {"entry without an id", FrameFault::truncated, after([](auto& b) { b.insert(b.end(), {2, 0, 0, 0, 0, 0}); })},
        {"fde too short", FrameFault::truncated, after([](auto& b) { b.resize(24 + 12), b[24] = 8; })},
        {"64-bit length", FrameFault::oversized, after([](auto& b) { std::memset(b.data() + 24, 0xff, 4); })},
        {"huge entry", FrameFault::oversized, after([](auto& b) { b[26] = 2; })},
        {"huge cie", FrameFault::oversized, cie(with_program(std::vector<u8>(600)))},
        {"cie before the table", FrameFault::bad_cie_reference, after([](auto& b) { b[31] = 1; })},
        {"cie that is an fde", FrameFault::bad_cie_reference,
         [](FrameBuilder& b) {
             b.cie();
             u32 first = b.fde(kText, 0x10);
             u32 second = b.fde(kText + 0x20, 0x10);
             u32 distance = second + 4 - first;
             std::memcpy(b.bytes().data() + second + 4, &distance, 4);
         }},
        {"version", FrameFault::unsupported_version, cie({.version = 3})},
        {"personality", FrameFault::unsupported_augmentation, cie({.augmentation = "zPR"})},
        {"language data", FrameFault::unsupported_augmentation, cie({.augmentation = "zRL"})},
        {"only z", FrameFault::unsupported_augmentation, cie({.augmentation = "z"})},
        {"augmentation after S", FrameFault::unsupported_augmentation, cie({.augmentation = "zRSB"})},
        {"augmentation size", FrameFault::unsupported_augmentation, cie({.augmentation_size = 2})},
        {"indirect pointers", FrameFault::unsupported_encoding, cie({.encoding = 0x9b})},
        {"data-relative pointers", FrameFault::unsupported_encoding, cie({.encoding = 0x3b})},
        {"2-byte pointers", FrameFault::unsupported_encoding, cie({.encoding = 0x02})},
        {"omitted pointers", FrameFault::unsupported_encoding, cie({.encoding = 0xff})},
        {"return column", FrameFault::unsupported_return_column, cie({.return_column = 15})},
        {"code alignment", FrameFault::bad_alignment_factor, cie({.code_alignment = 0})},
        {"data alignment", FrameFault::bad_alignment_factor, cie({.data_alignment = 0})},
        {"fde augmentation", FrameFault::unsupported_augmentation, after([](auto& b) { b[24 + 16] = 1; })},
        {"unknown operation", FrameFault::unknown_operation, program({0x1f})},
        {"set_loc", FrameFault::unknown_operation, program({0x01})},
        {"val_expression", FrameFault::unknown_operation, program({0x16, 3, 2, 0x76, 0})},
        {"restore in the common part", FrameFault::unknown_operation, cie(with_program({0x0c, 7, 8, 0x90, 1, 0xc3}))},
        {"cut operand", FrameFault::truncated, program({0, 0, 0, 0, 0, 0, 0x03})},
        {"vector register", FrameFault::unknown_register, program({0x05, 17, 1})},
        {"frame address from rax", FrameFault::unknown_register, program({0x0d, 0})},
        {"frame address from rip", FrameFault::unknown_register, program({0x0d, 16})},
        {"far offset", FrameFault::number_out_of_range, program({0x0e, 0xff, 0xff, 0xff, 0xff, 0x7f})},
        {"endless number", FrameFault::number_out_of_range,
         program({0x0e, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0})},
        {"offset times factor", FrameFault::number_out_of_range, program({0x86, 0xff, 0xff, 0xff, 0xff, 0x0f})},
        {"other expression", FrameFault::unsupported_expression, program({0x0f, 1, 0x12})},
        {"longer expression", FrameFault::unsupported_expression, program({0x0f, 4, 0x76, 0, 6, 6})},
        {"expression of r8 in memory twice", FrameFault::unsupported_expression, program({0x10, 3, 3, 0x76, 0, 6})},
        {"cut expression", FrameFault::truncated, program({0, 0, 0, 0, 0x0f, 9, 0x76})},
        {"restore without remember", FrameFault::unbalanced_state, program({0x0b})},
        {"nested too deep", FrameFault::unbalanced_state, program({0x0a, 0x0a, 0x0a, 0x0a})},
        {"no frame address", FrameFault::no_cfa, cie(with_program({0x90, 1}))},
        {"frame address after the first row", FrameFault::no_cfa,
         [](FrameBuilder& b) {
             b.cie(with_program({0x90, 1}));
             b.fde(kText, 0x40, {0x41, 0x0c, 7, 8});
         }},
        {"offset without a register", FrameFault::no_cfa, cie(with_program({0x0e, 8}))},
        {"row past the end", FrameFault::row_outside_function, program({0x02, 0x41})},
        {"rows past the end", FrameFault::row_outside_function, program({0x7f, 0x7f})},
        {"location in the common part", FrameFault::row_outside_function, cie(with_program({0x0c, 7, 8, 0x41}))},
        {"bytes after the end", FrameFault::entry_after_terminator,
         after([](auto& b) { b.insert(b.end(), {0, 0, 0, 0, 0, 7}); })},
        {"wrapping function", FrameFault::range_wraps,
         [](FrameBuilder& b) {
             b.cie({.encoding = 0x00});
             b.fde(kText, ~u64{0});
         }},
        {"overlap", FrameFault::overlapping_functions,
         [](FrameBuilder& b) {
             b.cie();
             b.fde(kText, 0x21);
             b.fde(kText + 0x20, 0x10);
         }},
        {"twice", FrameFault::overlapping_functions,
         [](FrameBuilder& b) {
             b.cie();
             b.fde(kText, 0x20);
             b.fde(kText, 0x20);
         }},
        {"foreign code", FrameFault::outside_allowed_code,
         [](FrameBuilder& b) {
             b.cie();
             b.fde(kText - 0x10, 0x10);
         }},
        {"half foreign code", FrameFault::outside_allowed_code,
         [](FrameBuilder& b) {
             b.cie();
             b.fde(kAllowed.end - 8, 9);
         }},
        {"return address elsewhere", FrameFault::no_return_address, program({0x90, 2})},
        {"return address lost for one row", FrameFault::no_return_address, program({0x41, 0x0a, 0x07, 16, 0x41, 0x0b})},
        {"stack pointer saved", FrameFault::no_return_address, program({0x87, 2})},
        {"interrupt frame", FrameFault::signal_frame_refused, cie({.augmentation = "zRS"})},
    };
    for (const auto& breakage : breakages) {
        FrameBuilder builder(kTableAt);
        breakage.build(builder);
        auto result = verify(builder.table());
        ASSERT_FALSE(result) << breakage.name;
        EXPECT_EQ(name_of(result.error().fault), name_of(breakage.fault)) << breakage.name;
        EXPECT_LE(result.error().offset, builder.bytes().size()) << breakage.name;
    }
}

TEST(ArchEhFrame, AllowsInterruptFramesWhereTheyMayBe) {
    FrameBuilder builder(kTableAt);
    builder.cie({.augmentation = "zRS"});
    builder.fde(kText, 0x40);
    EXPECT_EQ(verify(builder.table(), TableOwner::image), 1u);
    EXPECT_EQ(fault_of(verify(builder.table(), TableOwner::image, 0)), FrameFault::index_full);
}

TEST(ArchEhFrame, RunsEveryKnownOperation) {
    FrameBuilder builder(kTableAt);
    builder.cie();
    builder.fde(kText, 0x400, {0x02, 1,  0x03, 1,    0,    0x04, 1, 0, 0, 0,  // three advances: 3
                               0x0f, 3,  0x76, 0x70, 6,                       // frame address: the word at rbp - 16
                               0x10, 3,  2,    0x76, 0x68,                    // rbx at rbp - 24
                               0x05, 12, 3,    0x11, 13,   0x7c,              // r12 at cfa - 24, r13 at cfa + 32
                               0x14, 14, 2,    0x15, 15,   0x7f,              // r14 is cfa - 16, r15 is cfa + 8
                               0x09, 6,  10,   0x07, 10,   0x08, 0,           // rbp in r10, r10 lost, rax unchanged
                               0x2e, 16, 0x0a, 0x41,                          // argument size; remember; at 4:
                               0x12, 7,  0x7e, 0x13, 0x7d,                    // frame address rsp + 16, then + 24
                               0x06, 6,  0xcc, 0x41, 0x0b, 0x00});  // rbp and r12 as at first; at 5: as remembered
    auto fde = parse_fde(builder.table(), 24);
    ASSERT_TRUE(fde);
    ASSERT_TRUE(check_program(*fde, TableOwner::patch))
        << name_of(check_program(*fde, TableOwner::patch).error().fault);
    auto first = find_row(*fde, kText + 2);
    EXPECT_EQ(first->cfa.offset, 8);
    for (u64 offset : {u64{3}, u64{5}}) {
        auto row = find_row(*fde, kText + offset);
        ASSERT_TRUE(row);
        EXPECT_EQ(row->cfa.kind, CfaRule::Kind::word_at_sum);
        EXPECT_EQ(row->cfa.base, Register::rbp);
        EXPECT_EQ(row->cfa.offset, -16);
        EXPECT_EQ(row->rule(Register::rbx).kind, SaveRule::Kind::at_register_sum);
        EXPECT_EQ(row->rule(Register::rbx).offset, -24);
        EXPECT_EQ(row->rule(Register::r12).offset, -24);
        EXPECT_EQ(row->rule(Register::r13).offset, 32);
        EXPECT_EQ(row->rule(Register::r14).kind, SaveRule::Kind::cfa_sum);
        EXPECT_EQ(row->rule(Register::r14).offset, -16);
        EXPECT_EQ(row->rule(Register::r15).offset, 8);
        EXPECT_EQ(row->rule(Register::rbp).kind, SaveRule::Kind::in_register);
        EXPECT_EQ(row->rule(Register::rbp).base, Register::r10);
        EXPECT_EQ(row->rule(Register::r10).kind, SaveRule::Kind::undefined);
    }
    auto middle = find_row(*fde, kText + 4);
    EXPECT_EQ(middle->cfa.kind, CfaRule::Kind::sum);
    EXPECT_EQ(middle->cfa.offset, 24);
    EXPECT_EQ(middle->rule(Register::rbp).kind, SaveRule::Kind::unspecified);
    EXPECT_EQ(middle->rule(Register::r12).kind, SaveRule::Kind::unspecified);
    EXPECT_EQ(middle->rule(Register::r13).offset, 32);
}

TEST(ArchEhFrame, NamesEveryFault) {
    for (int i = 0; i <= static_cast<int>(FrameFault::index_full); ++i)
        EXPECT_NE(name_of(static_cast<FrameFault>(i)), "unknown fault");
}

}  // namespace
}  // namespace graft::arch
