// The ACPI parser over tables made here: what is read, and each refusal.

#include <gtest/gtest.h>

#include "arch/x86_64/pure/acpi_tables.h"
#include "tests/unit/fake_memory.h"

namespace graft::arch {
namespace {

using test::Bytes;
using test::FakeMemory;
using test::fix_sum;
using test::put;

constexpr u64 kRsdp = 0xf0010;
constexpr u64 kXsdt = 0x10000;
constexpr u64 kMadt = 0x20000;
constexpr u64 kFadt = 0x30000;
constexpr u64 kDsdt = 0x40000;

class Acpi : public ::testing::Test {
protected:
    Acpi() {
        make_rsdp();
        make_table(kXsdt, "XSDT", [](Bytes bytes) { bytes.add<u64>(kMadt).add<u64>(kFadt); });
        make_table(kMadt, "APIC", [](Bytes bytes) {
            bytes.add<u32>(0xfee00000).add<u32>(1);
            bytes.add<u8>(0).add<u8>(8).add<u8>(0).add<u8>(0).add<u32>(1);                   // processor, apic id 0
            bytes.add<u8>(0).add<u8>(8).add<u8>(1).add<u8>(7).add<u32>(1);                   // processor, apic id 7
            bytes.add<u8>(0).add<u8>(8).add<u8>(2).add<u8>(9).add<u32>(0);                   // absent
            bytes.add<u8>(9).add<u8>(16).add<u16>(0).add<u32>(300).add<u32>(2).add<u32>(0);  // x2apic, online capable
            bytes.add<u8>(1).add<u8>(12).add<u8>(0).add<u8>(0).add<u32>(0xfec00000).add<u32>(0);
            bytes.add<u8>(2).add<u8>(10).add<u8>(0).add<u8>(9).add<u32>(20).add<u16>(0xf);  // irq 9: level, active low
            bytes.add<u8>(99).add<u8>(3).add<u8>(0);                                        // unknown
        });
        make_table(kFadt, "FACP", [](Bytes bytes) { bytes.zeros(276 - 36); });
        auto& fadt = memory_.at(kFadt);
        put<u32>(fadt, 40, kDsdt);
        put<u32>(fadt, 64, 0x604);
        put<u32>(fadt, 112, 1u << 10);
        put<u8>(fadt, 116, 1);
        put<u64>(fadt, 120, 0xcf9);
        put<u8>(fadt, 128, 0xf);
        fix_table(kFadt);
        make_table(kDsdt, "DSDT", [](Bytes bytes) {
            bytes.zeros(260 - 36 - 2)
                .text("_S5_")
                .add<u8>(0x12)
                .add<u8>(6)
                .add<u8>(4)
                .add<u8>(0x0a)
                .add<u8>(5)
                .add<u8>(0x01);
            bytes.add<u8>(0).add<u8>(0);
        });
    }

    void make_rsdp() {
        auto& rsdp = memory_.at(kRsdp);
        rsdp.clear();
        Bytes(rsdp).text("RSD PTR ").zeros(7).add<u8>(2).add<u32>(0).add<u32>(36).add<u64>(kXsdt).add<u32>(0);
        fix_rsdp();
    }
    void fix_rsdp() {
        auto& rsdp = memory_.at(kRsdp);
        fix_sum(rsdp, 0, 20, 8);
        fix_sum(rsdp, 0, 36, 32);
    }

    template <typename Body>
    void make_table(u64 address, std::string_view signature, Body body) {
        auto& table = memory_.at(address);
        table.clear();
        Bytes(table).text(signature).zeros(32);
        body(Bytes(table));
        put<u32>(table, 4, static_cast<u32>(table.size()));
        fix_table(address);
    }
    void fix_table(u64 address) { fix_sum(memory_.at(address), 0, memory_.at(address).size(), 9); }

    Result<AcpiInfo, AcpiError> parse() { return parse_acpi(memory_, PhysAddr{kRsdp}); }
    AcpiFailure failure() { return parse().error().failure; }

    FakeMemory memory_;
};

TEST_F(Acpi, ReadsProcessorsControllersAndPower) {
    auto info = parse();
    ASSERT_TRUE(info);
    ASSERT_EQ(info->processor_count, 3u);
    EXPECT_EQ(info->processors[1].apic_id, 7u);
    EXPECT_TRUE(info->processors[1].enabled);
    EXPECT_EQ(info->processors[2].apic_id, 300u);
    EXPECT_FALSE(info->processors[2].enabled);
    ASSERT_EQ(info->io_apic_count, 1u);
    EXPECT_EQ(info->io_apics[0].address.value, 0xfec00000u);
    ASSERT_EQ(info->override_count, 1u);
    EXPECT_EQ(info->overrides[0].irq, 9);
    EXPECT_EQ(info->overrides[0].gsi, 20u);
    EXPECT_TRUE(info->overrides[0].level_triggered);
    EXPECT_TRUE(info->overrides[0].active_low);
    EXPECT_EQ(info->pm1a_control, 0x604);
    EXPECT_TRUE(info->has_s5);
    EXPECT_EQ(info->s5_type_a, 5);
    EXPECT_EQ(info->s5_type_b, 1);
    EXPECT_EQ(info->reset_register.space, AcpiRegister::Space::io);
    EXPECT_EQ(info->reset_register.address, 0xcf9u);
    EXPECT_EQ(info->reset_value, 0xf);
}

TEST_F(Acpi, ReadsSleepRegistersOfReducedHardware) {
    auto& fadt = memory_.at(kFadt);
    put<u32>(fadt, 112, 1u << 20);
    put<u8>(fadt, 244, 0);
    put<u64>(fadt, 248, 0xfea00200);
    fix_table(kFadt);
    auto info = parse();
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->hardware_reduced);
    EXPECT_EQ(info->sleep_control.space, AcpiRegister::Space::memory);
    EXPECT_EQ(info->sleep_control.address, 0xfea00200u);
    EXPECT_EQ(info->reset_register.space, AcpiRegister::Space::none);
}

TEST_F(Acpi, FindsTheRootPointer) {
    auto& area = memory_.at(0xe0000);
    area.assign(0x10000, 0);
    memory_.at(0xf0000).assign(0x10, 0);
    auto found = find_rsdp(memory_, PhysAddr{0xf0000}, PhysAddr{kRsdp + 36});
    ASSERT_TRUE(found);
    EXPECT_EQ(found->value, kRsdp);
    EXPECT_EQ(find_rsdp(memory_, PhysAddr{0xe0000}, PhysAddr{0xf0000}).error().failure, AcpiFailure::no_rsdp);
}

TEST_F(Acpi, PassesOverARootPointerWithAWrongSum) {
    memory_.at(0xf0000).assign(0x10, 0);
    memory_.at(kRsdp)[9] ^= 1;
    EXPECT_EQ(find_rsdp(memory_, PhysAddr{0xf0000}, PhysAddr{kRsdp + 36}).error().failure, AcpiFailure::no_rsdp);
}

TEST_F(Acpi, RefusesARootPointerWithAWrongSum) {
    memory_.at(kRsdp)[33] ^= 1;
    EXPECT_EQ(failure(), AcpiFailure::bad_checksum);
}

TEST_F(Acpi, RefusesWhatIsNoRootPointer) {
    memory_.at(kRsdp)[0] = 'X';
    EXPECT_EQ(failure(), AcpiFailure::no_rsdp);
}

TEST_F(Acpi, RefusesARootTableOfAnotherKind) {
    memory_.at(kXsdt)[0] = 'Y';
    fix_table(kXsdt);
    EXPECT_EQ(failure(), AcpiFailure::bad_signature);
}

TEST_F(Acpi, RefusesARootTableWithTooManyEntries) {
    make_table(kXsdt, "XSDT", [](Bytes bytes) { bytes.zeros(8 * (kMaxRootEntries + 1)); });
    EXPECT_EQ(failure(), AcpiFailure::bad_length);
}

TEST_F(Acpi, RefusesATableShorterThanItsHeader) {
    put<u32>(memory_.at(kXsdt), 4, 35);
    EXPECT_EQ(failure(), AcpiFailure::bad_length);
}

TEST_F(Acpi, RefusesATableThatIsTooLong) {
    put<u32>(memory_.at(kMadt), 4, kMaxAcpiTableSize + 1);
    EXPECT_EQ(failure(), AcpiFailure::bad_length);
}

TEST_F(Acpi, RefusesATableThatCannotBeRead) {
    put<u32>(memory_.at(kMadt), 4, static_cast<u32>(memory_.at(kMadt).size() + 1));
    EXPECT_EQ(failure(), AcpiFailure::unreadable);
}

TEST_F(Acpi, RefusesAMadtEntryThatRunsOver) {
    auto& madt = memory_.at(kMadt);
    madt[madt.size() - 2] = 4;
    fix_table(kMadt);
    EXPECT_EQ(failure(), AcpiFailure::bad_entry);
}

TEST_F(Acpi, RefusesAMadtEntryWithoutALength) {
    memory_.at(kMadt)[45] = 0;
    fix_table(kMadt);
    EXPECT_EQ(failure(), AcpiFailure::bad_entry);
}

TEST_F(Acpi, RefusesToGoWithoutAMadt) {
    make_table(kXsdt, "XSDT", [](Bytes bytes) { bytes.add<u64>(kFadt); });
    EXPECT_EQ(failure(), AcpiFailure::no_madt);
}

TEST_F(Acpi, LeavesPowerOutWhenTheFadtIsDamaged) {
    memory_.at(kFadt)[70] ^= 1;
    auto info = parse();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->pm1a_control, 0);
    EXPECT_FALSE(info->has_s5);
}

TEST_F(Acpi, CountsProcessorsThatDoNotFit) {
    make_table(kMadt, "APIC", [](Bytes bytes) {
        bytes.add<u32>(0xfee00000).add<u32>(1);
        for (usize index = 0; index < kMaxAcpiProcessors + 2; ++index)
            bytes.add<u8>(0).add<u8>(8).add<u8>(0).add<u8>(static_cast<u8>(index)).add<u32>(1);
    });
    auto info = parse();
    ASSERT_TRUE(info);
    EXPECT_EQ(info->processor_count, kMaxAcpiProcessors);
    EXPECT_EQ(info->processors_dropped, 2u);
}

}  // namespace
}  // namespace graft::arch
