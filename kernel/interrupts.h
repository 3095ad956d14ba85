// Interrupts as the kernel sees them: handlers for device lines and for exceptions.
//
// A handler runs with interrupts off, on the stack and in the state of the task it hit. It acknowledges its device and
// wakes whoever does the work; nothing else.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "base/types.h"

namespace graft::kernel {

using InterruptHandler = void (*)(void* argument);

// Routes a legacy line (0 … 15) to a processor and to the handler. False when no vector or no line is left.
// Handlers stay for good. Context: boot or task.
[[nodiscard]] bool claim_legacy_interrupt(u8 irq, InterruptHandler handler, void* argument, u32 processor_index = 0);
// The same for a global system interrupt.
[[nodiscard]] bool claim_interrupt(u32 gsi, bool level_triggered, bool active_low, InterruptHandler handler,
                                   void* argument, u32 processor_index = 0);

// Returns true when the exception is dealt with and the task goes on. For tests: without one every exception is fatal.
using ExceptionHandler = bool (*)(arch::InterruptFrame* frame, void* argument);
void set_exception_handler(u32 vector, ExceptionHandler handler, void* argument);

// Whether the word at that address is a handler of a line or an exception. Context: any.
[[nodiscard]] bool is_interrupt_handler(VirtAddr place);

}  // namespace graft::kernel
