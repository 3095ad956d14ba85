// An application for tests of states over the control link: it tells what answer() says until the machine is stopped.
#include "kernel/app.h"
#include "kernel/log.h"
#include "kernel/timers.h"
#include "tests/guest/states/answer.h"

namespace graft::states_test {

namespace {

constexpr u64 kPeriodNs = 200'000'000;

// The loop itself never returns, so what it does is a function that can be left.
[[gnu::noinline]] void tell_once() {
    kernel::log_parts(kernel::LogLevel::info, "answer ", answer());
    kernel::sleep_ns(kPeriodNs);
}

}  // namespace

}  // namespace graft::states_test

void app_main(const graft::kernel::CommandLine&) {
    for (;;) graft::states_test::tell_once();
}
