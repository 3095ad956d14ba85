// The bench's image: `part=call` or `part=transition` on the command line. The patch is the first boot module, and
// `patches=manual` keeps the kernel from loading it.

#include "kernel/app.h"
#include "kernel/boot_patches.h"
#include "kernel/console.h"
#include "kernel/power.h"
#include "tests/guest/bench/bench.h"

namespace {

using namespace graft;

bool run(const kernel::CommandLine& arguments) {
    auto file = kernel::boot_patch(0);
    if (file.empty()) {
        kernel::console_write("Bail out! the bench's patch must be the first boot module\n");
        return false;
    }
    auto part = arguments.value("part").value_or("");
    if (part == "call") return bench::bench_calls(file, arguments);
    if (part == "transition") return bench::bench_transitions(file, arguments);
    kernel::console_write("Bail out! part= must be call or transition\n");
    return false;
}

}  // namespace

void app_main(const kernel::CommandLine& arguments) {
    kernel::exit_with(run(arguments) ? kernel::kExitSuccess : kernel::kExitFailure);
}
