// An application for tests of canaries over the control link. Ten workers look at is_new() all the time and tell in
// the log whenever it has changed; `maker` and `insider` make short-lived tasks that tell what they see: `maker`
// outside, `insider` inside a changing function.
#include <atomic>

#include "kernel/app.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/canary/view.h"

namespace graft::canary_test {

namespace {

constexpr u64 kPeriodNs = 20'000'000;
constexpr u64 kBirthPeriodNs = 150'000'000;
constexpr const char* kWorkers[] = {"web-0", "web-1", "web-2", "job-3", "job-4",
                                    "job-5", "job-6", "job-7", "job-8", "job-9"};

void tell(std::string_view what) {
    kernel::log_parts(kernel::LogLevel::info, kernel::current_task().name_view(), " ", what,
                      is_new() ? " new" : " old");
}

[[gnu::noinline]] void work_once(bool& seen) {
    bool now = is_new();
    if (now != seen) tell("sees");
    seen = now;
}

void work(void*) {
    bool seen = false;
    for (;;) {
        work_once(seen);
        kernel::sleep_ns(kPeriodNs);
    }
}

void witness(void*) {
    tell("is born");
}

void start(const char* name, void (*function)(void*)) {
    // A missing one fails the test by its name.
    auto task = kernel::create_task(function, nullptr, {.name = name});
    if (task) task->detach();
}

void make_outside(void*) {
    for (;;) {
        kernel::sleep_ns(kBirthPeriodNs);
        make_witness("visitor");
    }
}

void make_all_inside(void*) {
    for (;;) {
        kernel::sleep_ns(kBirthPeriodNs);
        make_inside("child");
    }
}

}  // namespace

void make_witness(std::string_view name) {
    auto task = kernel::create_task(witness, nullptr, {.name = name});
    if (task) task->join();
}

}  // namespace graft::canary_test

void app_main(const graft::kernel::CommandLine&) {
    using namespace graft::canary_test;
    for (const char* name : kWorkers) start(name, work);
    start("maker", make_outside);
    start("insider", make_all_inside);
    for (;;) {
        (void)unrelated();
        graft::kernel::sleep_ns(kPeriodNs);
    }
}
