// The one place that starts QEMU: command line, accelerator, console, control line, end.
//
// The console (COM1) is the caller's standard input and output, the control line (COM2) a socket that this process
// opens and hands over, so that a client may connect as soon as its address is printed. QEMU never outlives this
// process: it is ended on every way out, and by the kernel if this process is killed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/graft/deadline.h"
#include "tools/graft/failure.h"

namespace graft::tool {

enum class Accelerator { kvm, tcg, automatic };
enum class MachineType { q35, microvm };

struct RunOptions {
    std::string image;
    unsigned processors = 2;
    std::string memory = "256M";
    std::string control;  // CONNECT form; empty = a private unix socket
    Accelerator accelerator = Accelerator::automatic;
    MachineType machine = MachineType::q35;
    bool iso = false;  // boot the ISO that lies beside the ELF image
    std::string append;
    std::vector<std::string> modules;
    bool gdb = false;
    std::vector<std::string> qemu_arguments;
    std::optional<Milliseconds> time_limit;
    bool quiet = false;
};

// Runs until QEMU ends. A guest that ends well (power-off, or the success value at isa-debug-exit) is `done`.
Outcome<void> run_image(const RunOptions& options);

// KVM when the host isn't a virtual machine itself and a small guest that leaves to the host often is about as fast
// with it as with emulation, else TCG.
Accelerator choose_accelerator(MachineType machine);

// The value a guest writes to isa-debug-exit when all is well; QEMU ends with 2 * value + 1.
inline constexpr int kGuestSuccess = 0x10;

}  // namespace graft::tool
