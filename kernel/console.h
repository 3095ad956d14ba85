// The console: text out on the first serial port. The device is a driver's (drivers/uart16550.h); until it is set, and
// in a panic, the polled port of arch/x86_64/serial_early.h does it.
#pragma once

#include <string_view>

#include "base/types.h"

namespace graft::kernel {

class ConsoleDevice {
public:
    // Returns when the device has taken all of it. A text goes out in one piece. Context: task; sleeps.
    virtual void write(std::string_view text) = 0;
    // Returns when all that was taken has left the machine. Context: task; sleeps.
    virtual void flush() = 0;

protected:
    ~ConsoleDevice() = default;
};

// The device must stay for good. Context: boot or task.
void set_console(ConsoleDevice& device);

// '\n' goes out as "\r\n". Context: task (or boot, before a device is set).
void console_write(std::string_view text);
void console_flush();

}  // namespace graft::kernel
