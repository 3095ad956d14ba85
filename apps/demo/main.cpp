// The demonstration: a shop whose invoices are some cents short, and which can't be closed to repair that.
//
// Two tills work on a processor each. A third, the desk, takes so long for each line that it is inside an invoice
// nearly always; a patch of the arithmetic reaches it when it has finished the invoice that it is writing.
//
// Command line: pace=N  milliseconds that the desk takes for each line (150)
#include "apps/demo/till.h"
#include "kernel/app.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "kernel/timers.h"

namespace demo {
namespace {

using graft::kernel::create_task;
using graft::kernel::kEveryProcessor;

constexpr u64 kMillisecond = 1'000'000;

u64 pace_ns = 150 * kMillisecond;

void think() {
    graft::kernel::sleep_ns(pace_ns);
}

Till tills[] = {
    {"till 1", " on processor 0", 400 * kMillisecond, nullptr, 0},
    {"till 2", " on processor 1", 400 * kMillisecond, nullptr, 0},
    {"desk", "", 0, think, 0},
};
constexpr u64 kPlaces[] = {1 << 0, 1 << 1, kEveryProcessor};

void open_till(Till& till, u64 processors) {
    auto task = create_task(run_till, &till, {.name = till.name, .processors = processors});
    if (!task && processors != kEveryProcessor) {
        till.place = "";  // a machine with fewer processors
        task = create_task(run_till, &till, {.name = till.name});
    }
    if (!task) graft::kernel::log_parts(graft::kernel::LogLevel::error, "demo: no memory for ", till.name);
}

}  // namespace
}  // namespace demo

void app_main(const graft::kernel::CommandLine& arguments) {
    demo::pace_ns = arguments.number("pace", 150) * demo::kMillisecond;
    for (graft::usize i = 0; i < std::size(demo::tills); ++i) demo::open_till(demo::tills[i], demo::kPlaces[i]);
}
