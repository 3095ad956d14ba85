// What an application is: a folder with a function
//
//     #include "kernel/app.h"
//     void app_main(const graft::kernel::CommandLine& arguments) { … }
//
// It runs once, in a task of its own ("main", default priority, a 64 KiB stack, SSE allowed), after all other parts
// have started. When it returns, the system goes on without it: with `poweroff=1` on the command line it powers the
// machine off.
//
// Public headers for applications: app.h, task.h, mutex.h, wait_queue.h, timers.h, work.h, clock.h, log.h, console.h,
// power.h, interrupts.h and pure/command_line.h. An application takes the keys of the command line that it likes.
#pragma once

#include "kernel/pure/command_line.h"

// The application's; C++ linkage, global namespace.
void app_main(const graft::kernel::CommandLine& arguments);

namespace graft::kernel {

// Makes the task that runs app_main(), once the boot patches are in force (kernel/boot_patches.h; `patches=manual` and
// `patches=required` on the command line). The command line must stay. Context: boot.
void start_application(const CommandLine& arguments);

}  // namespace graft::kernel
