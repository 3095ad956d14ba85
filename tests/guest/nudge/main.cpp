// An application for tests of nudges over the control link: three tasks that hold any transition of run_errand(), until
// the machine is stopped.
#include "kernel/app.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/nudge/errand.h"

namespace graft::nudge_test {

namespace {

constexpr u64 kPeriodNs = 1'000'000'000;

constinit Way ways[] = {Way::willing, Way::deaf, Way::busy};
constexpr const char* kNames[] = {"willing", "deaf", "busy"};

void run_errands(void* argument) {
    for (;;) run_errand(*static_cast<const Way*>(argument));
}

}  // namespace

}  // namespace graft::nudge_test

void app_main(const graft::kernel::CommandLine&) {
    using namespace graft;
    for (usize i = 0; i < std::size(nudge_test::ways); ++i) {
        // A missing one fails the test by its name.
        auto task = kernel::create_task(nudge_test::run_errands, &nudge_test::ways[i], {.name = nudge_test::kNames[i]});
        if (task) task->detach();
    }
    for (;;) kernel::sleep_ns(nudge_test::kPeriodNs);
}
