#include "kernel/start.h"

#include "arch/x86_64/paging.h"
#include "arch/x86_64/smp.h"
#include "kernel/call_site_table.h"
#include "kernel/code_map.h"
#include "kernel/image.h"
#include "kernel/log.h"
#include "kernel/measuring.h"
#include "kernel/memory.h"
#include "kernel/panic.h"
#include "kernel/patch_memory.h"
#include "kernel/reaper.h"
#include "kernel/scheduler.h"
#include "kernel/stacks.h"
#include "kernel/timers.h"
#include "kernel/work.h"

namespace graft::kernel {

namespace {

void enter(arch::PerCpu& cpu, void*) {
    adopt_processor(cpu);
    enter_scheduler();
}

bool start_one(u32 apic_id) {
    auto stack = allocate_stack(kDefaultStackSize);
    if (!stack) {
        log(LogLevel::error, "no memory for another processor's stack");
        return false;
    }
    u32 before = processor_count();
    auto started = arch::start_processor(apic_id, stack->end, enter, nullptr, table_pages());
    if (!started) {
        log_parts(LogLevel::error, "the processor with APIC id ", apic_id, " doesn't start: reason ",
                  static_cast<u32>(started.error()));
        return false;
    }
    while (processor_count() == before) arch::pause();
    return true;
}

}  // namespace

void start_memory(std::span<const arch::PhysRange> usable) {
    adopt_processor(arch::this_cpu());
    init_memory(usable);
    arch::set_page_source(table_pages());
    init_code_map();
    install_image_call_sites();
    init_stacks();
    init_patch_memory();
    make_gates();
    run_constructors();
}

void apply_command_line(const CommandLine& arguments) {
    if (auto level = arguments.value("log"); level && !set_console_level(*level)) {
        log_parts(LogLevel::warning, "command line: log=", *level, " is none of debug, info, warning, error");
    }
    auto action = arguments.value("panic");
    if (!action) {
        if (arguments.value("exit") == "debug") set_panic_action(PanicAction::exit);
        return;
    }
    if (*action == "exit") {
        set_panic_action(PanicAction::exit);
    } else if (*action == "reboot") {
        set_panic_action(PanicAction::reboot);
    } else if (*action == "halt") {
        set_panic_action(PanicAction::halt);
    } else {
        log_parts(LogLevel::warning, "command line: panic=", *action, " is none of halt, reboot, exit");
    }
}

void start_tasks() {
    start_reaper();
    start_timer_task();
    start_work_task();
}

u32 start_processors(std::span<const u32> apic_ids, u32 limit) {
    for (u32 apic_id : apic_ids) {
        if (processor_count() >= limit) break;
        (void)start_one(apic_id);  // logged; the others are tried all the same
    }
    return processor_count();
}

}  // namespace graft::kernel
