// Ends of a run that are wanted: the log is on the console before the machine goes.
//
// Exit codes are for QEMU's exit device (its status is 2 * code + 1), so that a test knows how the image ended.
#pragma once

#include "base/types.h"

namespace graft::kernel {

inline constexpr u32 kExitSuccess = 0x10;  // QEMU's status 33
inline constexpr u32 kExitFailure = 0x11;  // 35
inline constexpr u32 kExitPanic = 0x12;    // 37

// Context: task. Each writes the log out first and doesn't return.
[[noreturn]] void power_off();
[[noreturn]] void reboot();
// By the exit device; powers off where there is none.
[[noreturn]] void exit_with(u32 code);

}  // namespace graft::kernel
