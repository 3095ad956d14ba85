#include "arch/x86_64/acpi.h"

#include <cstring>

#include "arch/x86_64/memory_map.h"

namespace graft::arch {

namespace {

constexpr u64 kEarlyLimit = u64{4} << 30;  // what the early page tables map

// A plain PC, until the tables say otherwise.
AcpiInfo make_plain() {
    AcpiInfo info;
    info.io_apics[0] = {0, PhysAddr{0xfec0'0000}, 0};
    info.io_apic_count = 1;
    return info;
}

AcpiInfo description;

class EarlyMemory final : public MemoryReader {
public:
    bool read(PhysAddr address, std::span<std::byte> bytes) const override {
        if (address.value >= kEarlyLimit || bytes.size() > kEarlyLimit - address.value) return false;
        std::memcpy(bytes.data(), direct_map(address).as<const void>(), bytes.size());
        return true;
    }
};

// [acpi §5.2.5.1]: the first KiB of the extended BIOS data area, then the BIOS area.
Result<PhysAddr, AcpiError> search_rsdp(const MemoryReader& memory) {
    u16 segment = 0;
    if (memory.read(PhysAddr{0x40e}, std::as_writable_bytes(std::span(&segment, 1)))) {
        PhysAddr area{u64{segment} << 4};
        auto found = find_rsdp(memory, area, area + 1024);
        if (found) return found;
    }
    return find_rsdp(memory, PhysAddr{0xe'0000}, PhysAddr{0x10'0000});
}

}  // namespace

Result<void, AcpiError> read_acpi(PhysAddr rsdp) {
    EarlyMemory memory;
    description = make_plain();
    if (!rsdp) rsdp = GRAFT_TRY(search_rsdp(memory));
    description = GRAFT_TRY(parse_acpi(memory, rsdp));
    return {};
}

const AcpiInfo& acpi() {
    return description;
}

}  // namespace graft::arch
