#include "arch/x86_64/pure/acpi_tables.h"

#include <cstring>
#include <optional>
#include <string_view>

namespace graft::arch {

namespace {

constexpr usize kHeaderSize = 36;  // [acpi §5.2.6]
constexpr usize kRsdpSize = 20;    // revision 0 [acpi §5.2.5.3]
constexpr usize kRsdp2Size = 36;
constexpr u64 kRsdpStep = 16;
constexpr std::string_view kRsdpSignature = "RSD PTR ";

// A table whose header has been read; its bytes are still where they were.
struct Table {
    PhysAddr address;
    u32 length = 0;
    std::array<char, 4> signature{};

    bool is(std::string_view name) const { return std::string_view(signature.data(), signature.size()) == name; }
};

class Parser {
public:
    explicit Parser(const MemoryReader& memory) : memory_(memory) {}

    template <typename T>
    Result<T, AcpiError> load(PhysAddr address) const {
        T value{};
        if (!memory_.read(address, std::as_writable_bytes(std::span(&value, 1))))
            return fail(AcpiError{AcpiFailure::unreadable, address});
        return value;
    }

    bool read(PhysAddr address, std::span<char> bytes) const {
        return memory_.read(address, std::as_writable_bytes(bytes));
    }

    // The sum of all bytes must be 0.
    Result<void, AcpiError> check_sum(PhysAddr address, u32 length) const {
        u8 sum = 0;
        std::array<u8, 256> chunk;
        for (u32 done = 0; done < length;) {
            u32 count = length - done < chunk.size() ? length - done : static_cast<u32>(chunk.size());
            if (!memory_.read(address + done, std::as_writable_bytes(std::span(chunk.data(), count))))
                return fail(AcpiError{AcpiFailure::unreadable, address + done});
            for (u32 index = 0; index < count; ++index) sum = static_cast<u8>(sum + chunk[index]);
            done += count;
        }
        if (sum != 0) return fail(AcpiError{AcpiFailure::bad_checksum, address, sum, 0});
        return {};
    }

    Result<Table, AcpiError> open(PhysAddr address) const {
        Table table;
        table.address = address;
        table.signature = GRAFT_TRY((load<std::array<char, 4>>(address)));
        table.length = GRAFT_TRY(load<u32>(address + 4));
        if (table.length < kHeaderSize || table.length > kMaxAcpiTableSize)
            return fail(AcpiError{AcpiFailure::bad_length, address, table.length, kHeaderSize});
        GRAFT_CHECK(check_sum(address, table.length));
        return table;
    }

    // A field of a table; nothing when the table is too short for it.
    template <typename T>
    std::optional<T> field(const Table& table, u32 offset) const {
        if (offset > table.length || table.length - offset < sizeof(T)) return std::nullopt;
        auto value = load<T>(table.address + offset);
        if (!value) return std::nullopt;
        return *value;
    }

    // Where the length has been checked, a field is missing only if memory changes under the parser.
    template <typename T>
    T field_or_zero(const Table& table, u32 offset) const {
        return field<T>(table, offset).value_or(T{});
    }

private:
    const MemoryReader& memory_;
};

// ---- MADT [acpi §5.2.12] ----

void add_processor(AcpiInfo& info, u32 apic_id, u32 flags) {
    constexpr u32 kEnabled = 1, kOnlineCapable = 2;
    if (!(flags & (kEnabled | kOnlineCapable))) return;
    if (info.processor_count == kMaxAcpiProcessors) {
        ++info.processors_dropped;
        return;
    }
    info.processors[info.processor_count++] = {apic_id, (flags & kEnabled) != 0};
}

void add_override(AcpiInfo& info, u8 irq, u32 gsi, u16 flags) {
    if (info.override_count == kMaxOverrides) return;
    bool active_low = (flags & 3) == 3;            // 0: as the bus has it, which for ISA is active high
    bool level_triggered = (flags >> 2 & 3) == 3;  // 0: as the bus has it, which for ISA is edge
    info.overrides[info.override_count++] = {irq, gsi, level_triggered, active_low};
}

void read_entry(const Parser& parser, const Table& madt, u32 at, u8 type, u8 length, AcpiInfo& info) {
    if (type == 0 && length >= 8) {
        add_processor(info, parser.field_or_zero<u8>(madt, at + 3), parser.field_or_zero<u32>(madt, at + 4));
    } else if (type == 1 && length >= 12 && info.io_apic_count < kMaxIoApics) {
        info.io_apics[info.io_apic_count++] = {parser.field_or_zero<u8>(madt, at + 2),
                                               PhysAddr{parser.field_or_zero<u32>(madt, at + 4)},
                                               parser.field_or_zero<u32>(madt, at + 8)};
    } else if (type == 2 && length >= 10) {
        add_override(info, parser.field_or_zero<u8>(madt, at + 3), parser.field_or_zero<u32>(madt, at + 4),
                     parser.field_or_zero<u16>(madt, at + 8));
    } else if (type == 5 && length >= 12) {
        info.local_apic = PhysAddr{parser.field_or_zero<u64>(madt, at + 4)};
    } else if (type == 9 && length >= 16) {
        add_processor(info, parser.field_or_zero<u32>(madt, at + 4), parser.field_or_zero<u32>(madt, at + 8));
    }
}

Result<void, AcpiError> read_madt(const Parser& parser, const Table& madt, AcpiInfo& info) {
    constexpr u32 kEntries = 44;
    auto local_apic = parser.field<u32>(madt, kHeaderSize);
    if (!local_apic || madt.length < kEntries)
        return fail(AcpiError{AcpiFailure::bad_length, madt.address, madt.length, kEntries});
    info.local_apic = PhysAddr{*local_apic};
    for (u32 at = kEntries; at < madt.length;) {
        auto type = parser.field<u8>(madt, at);
        auto length = parser.field<u8>(madt, at + 1);
        if (!type || !length || *length < 2 || *length > madt.length - at)
            return fail(AcpiError{AcpiFailure::bad_entry, madt.address + at, length.value_or(0), madt.length - at});
        read_entry(parser, madt, at, *type, *length, info);
        at += *length;
    }
    return {};
}

// ---- FADT [acpi §5.2.9] and the DSDT's \_S5 ----

AcpiRegister read_register(const Parser& parser, const Table& table, u32 at) {
    auto space = parser.field<u8>(table, at);
    auto address = parser.field<u64>(table, at + 4);
    if (!space || !address || *address == 0) return {};
    if (*space == 0) return {AcpiRegister::Space::memory, *address};
    if (*space == 1 && *address <= 0xffff) return {AcpiRegister::Space::io, *address};
    return {};
}

// A small integer constant of AML [acpi §20.2.3]; moves on behind it.
std::optional<u8> read_aml_byte(const Parser& parser, const Table& table, u32& at) {
    auto prefix = parser.field<u8>(table, at);
    if (!prefix) return std::nullopt;
    ++at;
    if (*prefix == 0x00 || *prefix == 0x01) return prefix;
    if (*prefix != 0x0a) return std::nullopt;
    return parser.field<u8>(table, at++);
}

// `at` is behind the name: expects a package whose first elements are the two sleep types.
bool read_s5_package(const Parser& parser, const Table& dsdt, u32 at, AcpiInfo& info) {
    constexpr u8 kPackageOp = 0x12;
    if (parser.field<u8>(dsdt, at) != kPackageOp) return false;
    auto lead = parser.field<u8>(dsdt, at + 1);
    if (!lead) return false;
    // PkgLength: the top two bits say how many more bytes it has; then the number of elements.
    at += 2 + (*lead >> 6) + 1;
    auto type_a = read_aml_byte(parser, dsdt, at);
    if (!type_a || *type_a > 7) return false;
    auto type_b = read_aml_byte(parser, dsdt, at);
    info.has_s5 = true;
    info.s5_type_a = *type_a;
    info.s5_type_b = type_b && *type_b <= 7 ? *type_b : 0;
    return true;
}

// Looks for the name by its bytes: there is no AML interpreter here, and no firmware computes this package.
void read_s5(const Parser& parser, const Table& dsdt, AcpiInfo& info) {
    constexpr std::array<char, 4> kName = {'_', 'S', '5', '_'};
    constexpr u32 kChunk = 256;
    std::array<char, kChunk> chunk;
    // Chunks overlap by three characters, so that no name is missed between two.
    for (u32 base = kHeaderSize; base + kName.size() <= dsdt.length; base += kChunk - 3) {
        u32 count = dsdt.length - base < kChunk ? dsdt.length - base : kChunk;
        if (!parser.read(dsdt.address + base, std::span(chunk.data(), count))) return;
        for (u32 index = 0; index + kName.size() <= count; ++index) {
            if (std::memcmp(&chunk[index], kName.data(), kName.size()) != 0) continue;
            if (read_s5_package(parser, dsdt, base + index + static_cast<u32>(kName.size()), info)) return;
        }
    }
}

void read_fadt(const Parser& parser, const Table& fadt, AcpiInfo& info) {
    constexpr u32 kResetSupported = 1u << 10;
    constexpr u32 kHardwareReduced = 1u << 20;
    u32 flags = parser.field<u32>(fadt, 112).value_or(0);
    info.hardware_reduced = (flags & kHardwareReduced) != 0;
    info.pm1a_control = static_cast<u16>(parser.field<u32>(fadt, 64).value_or(0));
    info.pm1b_control = static_cast<u16>(parser.field<u32>(fadt, 68).value_or(0));
    if (flags & kResetSupported) {
        info.reset_register = read_register(parser, fadt, 116);
        info.reset_value = parser.field<u8>(fadt, 128).value_or(0);
    }
    if (info.hardware_reduced) info.sleep_control = read_register(parser, fadt, 244);

    u64 dsdt_address = parser.field<u64>(fadt, 140).value_or(0);
    if (dsdt_address == 0) dsdt_address = parser.field<u32>(fadt, 40).value_or(0);
    if (dsdt_address == 0) return;
    auto dsdt = parser.open(PhysAddr{dsdt_address});
    if (dsdt && dsdt->is("DSDT")) read_s5(parser, *dsdt, info);
}

// ---- the root ----

struct Root {
    PhysAddr table;
    u32 entry_size;
};

Result<Root, AcpiError> read_root(const Parser& parser, PhysAddr rsdp) {
    auto signature = GRAFT_TRY((parser.load<std::array<char, 8>>(rsdp)));
    if (std::string_view(signature.data(), signature.size()) != kRsdpSignature)
        return fail(AcpiError{AcpiFailure::no_rsdp, rsdp});
    GRAFT_CHECK(parser.check_sum(rsdp, kRsdpSize));
    u8 revision = GRAFT_TRY(parser.load<u8>(rsdp + 15));
    if (revision >= 2) {
        GRAFT_CHECK(parser.check_sum(rsdp, kRsdp2Size));
        u64 xsdt = GRAFT_TRY(parser.load<u64>(rsdp + 24));
        if (xsdt != 0) return Root{PhysAddr{xsdt}, 8};
    }
    return Root{PhysAddr{GRAFT_TRY(parser.load<u32>(rsdp + 16))}, 4};
}

}  // namespace

Result<PhysAddr, AcpiError> find_rsdp(const MemoryReader& memory, PhysAddr begin, PhysAddr end) {
    Parser parser(memory);
    for (PhysAddr at = begin.align_up(kRsdpStep); at < end && end - at >= kRsdpSize; at += kRsdpStep) {
        auto signature = parser.load<std::array<char, 8>>(at);
        if (!signature) return fail(signature.error());
        if (std::string_view(signature->data(), signature->size()) != kRsdpSignature) continue;
        if (parser.check_sum(at, kRsdpSize)) return at;
    }
    return fail(AcpiError{AcpiFailure::no_rsdp, begin});
}

Result<AcpiInfo, AcpiError> parse_acpi(const MemoryReader& memory, PhysAddr rsdp) {
    Parser parser(memory);
    Root root = GRAFT_TRY(read_root(parser, rsdp));
    Table list = GRAFT_TRY(parser.open(root.table));
    if (!list.is(root.entry_size == 8 ? "XSDT" : "RSDT"))
        return fail(AcpiError{AcpiFailure::bad_signature, list.address});
    u32 count = (list.length - static_cast<u32>(kHeaderSize)) / root.entry_size;
    if (count > kMaxRootEntries) return fail(AcpiError{AcpiFailure::bad_length, list.address, count, kMaxRootEntries});

    AcpiInfo info;
    bool has_madt = false;
    for (u32 index = 0; index < count; ++index) {
        PhysAddr slot = list.address + kHeaderSize + u64{index} * root.entry_size;
        u64 address = root.entry_size == 8 ? GRAFT_TRY(parser.load<u64>(slot)) : GRAFT_TRY(parser.load<u32>(slot));
        auto signature = parser.load<std::array<char, 4>>(PhysAddr{address});
        if (!signature) continue;
        std::string_view name(signature->data(), signature->size());
        if (name == "APIC" && !has_madt) {
            Table madt = GRAFT_TRY(parser.open(PhysAddr{address}));
            GRAFT_CHECK(read_madt(parser, madt, info));
            has_madt = true;
        } else if (name == "FACP") {
            auto fadt = parser.open(PhysAddr{address});
            if (fadt) read_fadt(parser, *fadt, info);
        }
    }
    if (!has_madt) return fail(AcpiError{AcpiFailure::no_madt, list.address});
    return info;
}

}  // namespace graft::arch
