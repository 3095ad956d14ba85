#include "kernel/power.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/power.h"
#include "arch/x86_64/sync.h"
#include "kernel/log.h"

namespace graft::kernel {

namespace {

void leave_in_order() {
    flush_log_to_console();
    arch::disable_interrupts();
    arch::stop_others_for_ever();
}

}  // namespace

void power_off() {
    leave_in_order();
    arch::power_off();
}

void reboot() {
    leave_in_order();
    arch::reset();
}

void exit_with(u32 code) {
    leave_in_order();
    arch::debug_exit(code);
}

}  // namespace graft::kernel
