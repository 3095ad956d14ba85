// I/O APICs [intel 82093AA data sheet §3]: routing of lines.

#include "arch/x86_64/apic.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/permanent/state.h"

namespace graft::arch {

namespace {

constexpr u32 kVersion = 0x01;
constexpr u32 kFirstLine = 0x10;  // two registers a line
constexpr u32 kMasked = 1u << 16;
constexpr u32 kLevel = 1u << 15;
constexpr u32 kActiveLow = 1u << 13;

struct Controller {
    volatile u32* registers = nullptr;  // index at word 0, data at word 4
    u32 gsi_base = 0;
    u32 lines = 0;

    u32 read(u32 index) const {
        registers[0] = index;
        return registers[4];
    }
    void write(u32 index, u32 value) const {
        registers[0] = index;
        registers[4] = value;
    }
};

Controller controllers[kMaxIoApics];
usize controller_count;
AcpiOverride overrides[kMaxOverrides];
usize override_count;

const Controller* controller_of(u32 gsi) {
    for (const Controller& controller : std::span(controllers, controller_count))
        if (gsi >= controller.gsi_base && gsi - controller.gsi_base < controller.lines) return &controller;
    return nullptr;
}

}  // namespace

void init_io_apics(const AcpiInfo& acpi) {
    for (const AcpiIoApic& io_apic : std::span(acpi.io_apics.data(), acpi.io_apic_count)) {
        VirtAddr registers = map_mmio(io_apic.address, 0x20);
        if (!registers) continue;
        Controller& controller = controllers[controller_count++];
        controller.registers = registers.as<volatile u32>();
        controller.gsi_base = io_apic.gsi_base;
        controller.lines = (controller.read(kVersion) >> 16 & 0xff) + 1;
        for (u32 line = 0; line < controller.lines; ++line) controller.write(kFirstLine + 2 * line, kMasked);
    }
    for (const AcpiOverride& entry : std::span(acpi.overrides.data(), acpi.override_count))
        overrides[override_count++] = entry;
}

bool route_interrupt(u32 gsi, u32 vector, u32 processor_index, bool level_triggered, bool active_low) {
    const Controller* controller = controller_of(gsi);
    if (!controller) return false;
    u32 index = kFirstLine + 2 * (gsi - controller->gsi_base);
    controller->write(index + 1, permanent::processors[processor_index]->apic_id << 24);
    controller->write(index, vector | (level_triggered ? kLevel : 0) | (active_low ? kActiveLow : 0));
    return true;
}

bool route_legacy_interrupt(u8 irq, u32 vector, u32 processor_index) {
    AcpiOverride line{irq, irq, false, false};
    for (const AcpiOverride& entry : std::span(overrides, override_count))
        if (entry.irq == irq) line = entry;
    return route_interrupt(line.gsi, vector, processor_index, line.level_triggered, line.active_low);
}

void mask_interrupt(u32 gsi) {
    const Controller* controller = controller_of(gsi);
    if (controller) controller->write(kFirstLine + 2 * (gsi - controller->gsi_base), kMasked);
}

}  // namespace graft::arch
