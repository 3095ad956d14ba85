// Boot information and ACPI tables from arbitrary bytes: nothing is read outside them, and the promises of BootInfo
// hold. The first byte chooses the parser; the rest is memory from address 0 on.

#include <cstdlib>
#include <cstring>

#include "arch/x86_64/pure/acpi_tables.h"
#include "boot/early_memory.h"
#include "boot/parse_multiboot2.h"
#include "boot/parse_pvh.h"

namespace {

using namespace graft;

class Memory final : public arch::MemoryReader {
public:
    explicit Memory(std::span<const std::byte> bytes) : bytes_(bytes) {}

    bool read(PhysAddr address, std::span<std::byte> bytes) const override {
        if (address.value > bytes_.size() || bytes.size() > bytes_.size() - address.value) return false;
        if (!bytes.empty()) std::memcpy(bytes.data(), bytes_.data() + address.value, bytes.size());
        return true;
    }

private:
    std::span<const std::byte> bytes_;
};

void require(bool condition) {
    if (!condition) std::abort();
}

void check(const boot::BootInfo& info) {
    for (const auto& entry : info.memory_map()) require(entry.range.begin < entry.range.end);
    for (const auto& module : info.module_list()) require(module.range.begin <= module.range.end);
    boot::EarlyMemory memory(info, {PhysAddr{0x200000}, PhysAddr{0x300000}});
    PhysAddr end{};
    for (const auto& range : memory.free_ranges()) {
        require(range.begin >= end && range.begin < range.end);
        end = range.end;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
    if (size == 0) return 0;
    auto bytes = std::as_bytes(std::span(data + 1, size - 1));
    Memory memory(bytes);
    boot::BootInfo info;
    switch (data[0] % 3) {
        case 0:
            if (boot::parse_multiboot2(bytes, PhysAddr{0x1000}, info)) check(info);
            break;
        case 1:
            if (boot::parse_pvh(memory, PhysAddr{0}, info)) check(info);
            break;
        case 2: {
            auto rsdp = arch::find_rsdp(memory, PhysAddr{0}, PhysAddr{bytes.size()});
            if (!rsdp) break;
            auto acpi = arch::parse_acpi(memory, *rsdp);
            if (acpi) require(acpi->processor_count <= arch::kMaxAcpiProcessors);
            break;
        }
    }
    return 0;
}
