// The control service: the tasks that serve the control tree on the second serial port. Context: boot, once, after
// start_patch_service().
#pragma once

#include "drivers/uart16550.h"

namespace graft::control {

// The port has been started and must stay. False when there is no memory; it has been logged.
[[nodiscard]] bool start_control_service(drivers::Uart16550& port);

}  // namespace graft::control
