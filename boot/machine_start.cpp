#include "boot/machine_start.h"

#include <cstring>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/poke.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/serial_early.h"
#include "arch/x86_64/smp.h"
#include "base/text.h"
#include "boot/parse_multiboot2.h"
#include "boot/parse_pvh.h"

extern "C" const char __image_begin[], __image_end[];

namespace graft::boot {

namespace {

constexpr u64 kEarlyLimit = u64{4} << 30;  // what the early page tables map

constinit BootInfo information;

class EarlyReader final : public arch::MemoryReader {
public:
    bool read(PhysAddr address, std::span<std::byte> bytes) const override {
        if (address.value >= kEarlyLimit || bytes.size() > kEarlyLimit - address.value) return false;
        std::memcpy(bytes.data(), arch::direct_map(address).as<const void>(), bytes.size());
        return true;
    }
};

template <typename... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
    Text<200> text;
    text.append("graft can't start: ", parts..., "\n");
    arch::early_write(text.view());
    arch::halt_for_ever();
}

Result<void, BootError> read_multiboot2(PhysAddr where) {
    u32 size = 0;
    if (!EarlyReader().read(where, std::as_writable_bytes(std::span(&size, 1))) || size > kEarlyLimit - where.value)
        return fail(BootError{BootFailure::unreadable, where});
    return parse_multiboot2({arch::direct_map(where).as<const std::byte>(), size}, where, information);
}

const char* text_of(BootFailure failure) {
    switch (failure) {
        case BootFailure::unreadable:
            return "can't be read";
        case BootFailure::bad_magic:
            return "has a wrong magic number";
        case BootFailure::bad_size:
            return "has a wrong size";
        case BootFailure::bad_tag:
            return "has a part that doesn't fit";
        case BootFailure::no_memory_map:
            return "has no memory map";
    }
    return "is wrong";
}

}  // namespace

const BootInfo& boot_info() {
    return information;
}

void read_boot_information(u32 magic, PhysAddr where) {
    Result<void, BootError> result;
    if (magic == kMultiboot2Magic)
        result = read_multiboot2(where);
    else if (magic == kPvhMagic)
        result = parse_pvh(EarlyReader(), where, information);
    else
        refuse("started by neither multiboot2 nor PVH: magic number ", hex(magic, 8));
    if (result) return;
    const BootError& error = result.error();
    refuse("the boot information at ", hex(error.where.value), " ", text_of(error.failure), ": found ",
           hex(error.found), ", expected ", hex(error.expected));
}

arch::PhysRange image_in_memory() {
    return {arch::image_physical(VirtAddr(__image_begin)), arch::image_physical(VirtAddr(__image_end))};
}

std::optional<arch::AcpiError> start_machine(EarlyMemory& memory) {
    auto described = arch::read_acpi(information.rsdp);
    arch::init_interrupt_table();
    arch::init_boot_processor();
    arch::init_paging(memory.ram(), memory);
    arch::init_clock();
    arch::init_local_apic(arch::acpi().local_apic);
    arch::init_io_apics(arch::acpi());
    arch::calibrate_timer();
    arch::init_poke();
    if (auto page = memory.low_page()) arch::init_smp(*page);
    if (described) return std::nullopt;
    return described.error();
}

}  // namespace graft::boot
