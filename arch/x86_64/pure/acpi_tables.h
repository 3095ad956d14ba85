// ACPI tables, as far as the kernel needs them: processors, I/O APICs, interrupt overrides, power-off and reset. A pure
// parser over a reader of physical memory; every length and checksum is checked, every loop is bounded by a length.
//
// Locking: none. Context: any; no allocation.
#pragma once

#include <array>
#include <span>

#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

// Physical memory, as the tables' addresses name it.
class MemoryReader {
public:
    // Copies `bytes.size()` bytes from `address`; false when not all of them can be read.
    [[nodiscard]] virtual bool read(PhysAddr address, std::span<std::byte> bytes) const = 0;

protected:
    ~MemoryReader() = default;
};

inline constexpr usize kMaxAcpiProcessors = 64;
inline constexpr usize kMaxIoApics = 8;
inline constexpr usize kMaxOverrides = 16;
inline constexpr u32 kMaxAcpiTableSize = 4 * 1024 * 1024;  // larger ones are refused
inline constexpr u32 kMaxRootEntries = 256;                // of the RSDT or XSDT; more are refused

struct AcpiProcessor {
    u32 apic_id;
    bool enabled;  // false: present but only "online capable"
};

struct AcpiIoApic {
    u8 id;
    PhysAddr address;
    u32 gsi_base;
};

struct AcpiOverride {
    u8 irq;
    u32 gsi;
    bool level_triggered;
    bool active_low;
};

// A register of the generic address structure [acpi §5.2.3.2].
struct AcpiRegister {
    enum class Space : u8 { none, memory, io };
    Space space = Space::none;
    u64 address = 0;
};

struct AcpiInfo {
    std::array<AcpiProcessor, kMaxAcpiProcessors> processors{};
    usize processor_count = 0;
    usize processors_dropped = 0;  // more than fit
    std::array<AcpiIoApic, kMaxIoApics> io_apics{};
    usize io_apic_count = 0;
    std::array<AcpiOverride, kMaxOverrides> overrides{};
    usize override_count = 0;
    PhysAddr local_apic{0xfee0'0000};  // [intel/vol3 §10.4.1]

    bool hardware_reduced = false;
    u16 pm1a_control = 0;  // ports; 0 = none
    u16 pm1b_control = 0;
    bool has_s5 = false;
    u8 s5_type_a = 0;
    u8 s5_type_b = 0;
    AcpiRegister sleep_control;  // hardware-reduced only
    AcpiRegister reset_register;
    u8 reset_value = 0;
};

enum class AcpiFailure : u8 {
    no_rsdp,        // no root pointer at the address, or none found
    bad_checksum,   // of the root pointer or a table
    bad_length,     // shorter than its header, or over the limits above
    unreadable,     // memory there can't be read
    bad_signature,  // the root table is neither RSDT nor XSDT
    no_madt,        // without it nothing is known about processors
    bad_entry,      // an entry of the MADT runs over its end
};

struct AcpiError {
    AcpiFailure failure;
    PhysAddr where;
    u64 found = 0;
    u64 expected = 0;
};

// Looks for the root pointer's signature at every 16 bytes of the range; checksum verified.
[[nodiscard]] Result<PhysAddr, AcpiError> find_rsdp(const MemoryReader& memory, PhysAddr begin, PhysAddr end);

// Reads everything from the root pointer on. A missing or damaged FADT or DSDT only leaves its fields empty; the MADT
// must be there.
[[nodiscard]] Result<AcpiInfo, AcpiError> parse_acpi(const MemoryReader& memory, PhysAddr rsdp);

}  // namespace graft::arch
