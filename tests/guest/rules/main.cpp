// An application for tests of measured canaries over the control link: two tasks that are to be in the share, and two
// that aren't, call work() all the time, in bursts so short that few calls are preempted, and so long that a burst's
// first calls, which come slow from the sleep, are far fewer than the one in a hundred that a p99 rule leaves out.
#include "kernel/app.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/rules/work.h"

namespace graft::rules_test {

namespace {

constexpr u64 kPauseNs = 1'000'000;
constexpr u32 kBurst = 500;
constexpr const char* kNames[] = {"canary-0", "canary-1", "other-0", "other-1"};

[[gnu::noinline]] void work_once() {
    for (u32 i = 0; i < kBurst; ++i) (void)work();
    kernel::sleep_ns(kPauseNs);
}

void run(void*) {
    for (;;) work_once();
}

}  // namespace

}  // namespace graft::rules_test

void app_main(const graft::kernel::CommandLine&) {
    using namespace graft;
    for (const char* name : rules_test::kNames) {
        // A missing one fails the test by the calls that it doesn't make.
        auto task = kernel::create_task(rules_test::run, nullptr, {.name = name});
        if (task) task->detach();
    }
    kernel::log_parts(kernel::LogLevel::info, "the tasks work");
    for (;;) kernel::sleep_ns(1'000'000'000);
}
