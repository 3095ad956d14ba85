// The first serial port, polled: usable from the first line of C++ and in a panic, when nothing else may be.
//
// Locking: none; two processors that write at once mix their lines. Once the driver has the port, only panic comes
// here. Context: any. A port that doesn't answer is given up after a bound, so nothing hangs here.
#pragma once

#include <string_view>

namespace graft::arch {

// 115200 baud 8N1, FIFO on, no interrupts. Context: boot processor, once.
void init_early_serial();

// '\n' is sent as "\r\n".
void early_write(std::string_view text);

}  // namespace graft::arch
