#include "kernel/console.h"

#include <atomic>

#include "arch/x86_64/serial_early.h"

namespace graft::kernel {

namespace {

constinit std::atomic<ConsoleDevice*> device{nullptr};

}  // namespace

void set_console(ConsoleDevice& new_device) {
    device.store(&new_device, std::memory_order_release);  // pairs with console_write(), console_flush()
}

void console_write(std::string_view text) {
    if (ConsoleDevice* current = device.load(std::memory_order_acquire)) {  // pairs with set_console()
        current->write(text);
    } else {
        arch::early_write(text);
    }
}

void console_flush() {
    if (ConsoleDevice* current = device.load(std::memory_order_acquire)) current->flush();  // pairs with set_console()
}

}  // namespace graft::kernel
