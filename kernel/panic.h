// Panic: the end after a programming error or a fatal fault. Prints the reason, registers, the running task and its
// symbolised stack on the polled console, stops the other processors, and ends the machine as the command line asks:
// `panic=exit` (QEMU's exit device, a failing status), `panic=reboot`, or `panic=halt`. Without it `exit=debug` means
// the first, else the last holds.
#pragma once

#include <string_view>

#include "arch/x86_64/interrupt_frame.h"

namespace graft::kernel {

enum class PanicAction : unsigned char { halt, reboot, exit };
void set_panic_action(PanicAction action);

// Called before anything is printed, with the reason; for tests that expect a fault. Context: interrupts off.
using PanicHook = void (*)(std::string_view reason);
void set_panic_hook(PanicHook hook);

// Context: any. A second panic on the way ends at once.
[[noreturn]] void panic(std::string_view reason);
[[noreturn]] void panic_at(const arch::InterruptFrame& frame, std::string_view reason);

}  // namespace graft::kernel
