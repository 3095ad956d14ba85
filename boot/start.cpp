// The composition root: the one file that knows all parts, in the order in which they start.
//
//   1  the machine     boot information, ACPI, page tables, clock, interrupt controllers, text writer
//   2  the kernel      memory, code map, call sites; its own tasks; the other processors
//   3  patching        the registry over the kernel's machine, and the worker that completes transitions
//   4  the control tree on the second serial port
//   5  the application, and the patches that the loader brought along as modules
//
// Everything up to the last line runs on the boot processor with interrupts off; from there on there are only tasks.

#include <array>

#include "arch/x86_64/acpi.h"
#include "arch/x86_64/apic.h"
#include "arch/x86_64/serial_early.h"
#include "boot/machine_start.h"
#include "control/control_service.h"
#include "drivers/uart16550.h"
#include "kernel/app.h"
#include "kernel/boot_patches.h"
#include "kernel/console.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/patch_service.h"
#include "kernel/scheduler.h"
#include "kernel/start.h"
#include "kernel/trust.h"

namespace graft::boot {

namespace {

constinit kernel::CommandLine arguments;

void tell_about_start(const std::optional<arch::AcpiError>& acpi_error) {
    using kernel::LogLevel;
    const BootInfo& info = boot_info();
    kernel::log_parts(LogLevel::info, "graft: started by ",
                      info.protocol == BootInfo::Protocol::pvh ? "PVH" : "multiboot2", ", command line \"",
                      info.command_line.view(), "\"");
    if (info.command_line.cut) kernel::log(LogLevel::warning, "the command line was cut");
    if (info.entries_dropped) kernel::log(LogLevel::warning, "the loader's memory map or modules were cut");
    if (acpi_error)
        kernel::log_parts(LogLevel::warning, "ACPI tables can't be used: reason ",
                          static_cast<u32>(acpi_error->failure), " at ", hex(acpi_error->where.value),
                          "; one processor, no power-off");
}

u32 start_other_processors() {
    const arch::AcpiInfo& acpi = arch::acpi();
    std::array<u32, arch::kMaxAcpiProcessors> others{};
    usize count = 0;
    for (const auto& entry : std::span(acpi.processors.data(), acpi.processor_count))
        if (entry.enabled && entry.apic_id != arch::this_cpu().apic_id) others[count++] = entry.apic_id;
    u64 limit = arguments.number("smp", arch::kMaxProcessors);
    return kernel::start_processors(std::span(others.data(), count), limit == 0 ? 1 : static_cast<u32>(limit));
}

// A module whose name ends in .klp is a patch; so is one without a name, since direct boot passes none. What is lost
// here can't be in force: where patches are required, the system doesn't start.
void take_boot_patches(const EarlyMemory& memory) {
    auto lost = [](std::string_view name, std::string_view reason) {
        Text<256> text;
        text.append("boot patch ", name, " refused: ", reason);
        if (arguments.value("patches") == "required") kernel::panic(text.view());
        kernel::log(kernel::LogLevel::error, text.view());
    };
    if (boot_info().entries_dropped && boot_info().module_count == kMaxModules)
        lost("(unknown)", "the boot loader passed more modules than are kept");
    for (const Module& module : boot_info().module_list()) {
        std::string_view name = module.name.view();
        if (!name.empty() && !name.ends_with(".klp")) continue;
        if (!memory.is_in_ram(module.range)) {
            lost(name, "the boot loader says that it lies where there is no memory");
            continue;
        }
        auto* bytes = arch::direct_map(module.range.begin).as<const std::byte>();
        if (!kernel::add_boot_patch(name, {bytes, module.range.size()})) lost(name, "there are too many");
    }
}

// The first serial port as the console, by interrupts; where it doesn't answer, the polled port stays.
void start_console() {
    static drivers::Uart16550 port(drivers::kCom1Port, drivers::kCom1Irq);
    if (port.start()) kernel::set_console(port);
    kernel::start_console_task();
}

// The second serial port carries the control tree; a machine without one runs without it, and so does `control=off`.
void start_control() {
    if (!arguments.flag("control", true)) return;
    static drivers::Uart16550 port(drivers::kCom2Port, drivers::kCom2Irq);
    if (!port.start()) {
        kernel::log(kernel::LogLevel::warning, "no second serial port: the system can't be controlled from outside");
        return;
    }
    (void)control::start_control_service(port);  // a failure is in the log
}

[[noreturn]] void start(u32 magic, PhysAddr where) {
    arch::init_early_serial();
    read_boot_information(magic, where);
    EarlyMemory memory(boot_info(), image_in_memory());
    auto acpi_error = start_machine(memory);

    kernel::start_memory(memory.free_ranges());
    arguments.assign(boot_info().command_line.view());
    kernel::apply_command_line(arguments);
    tell_about_start(acpi_error);
    kernel::announce_trust();
    kernel::start_tasks();
    start_console();
    kernel::start_patch_service();
    start_control();
    take_boot_patches(memory);
    u32 processors = start_other_processors();
    kernel::log_parts(kernel::LogLevel::info, processors, processors == 1 ? " processor runs" : " processors run");

    kernel::start_application(arguments);
    kernel::enter_scheduler();
}

}  // namespace

}  // namespace graft::boot

// `magic` and `where`: the loader's registers, from boot/entry.S.
extern "C" [[noreturn]] void graft_boot(graft::u32 magic, graft::u64 where) {
    graft::boot::start(magic, graft::PhysAddr{where});
}
