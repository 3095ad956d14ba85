// The corpus application: many small pieces of C++ and C, each with a phenomenon that building patches from diffs has
// to cope with (tests/patches/), and a task that tells when one of them begins to answer differently.
//
// Output on the console: `probe NAME VALUE` for each probe whose value isn't what it was in the round before, and in
// the first round for all. `rounds N` follows the first round and then every fifth, so silence is a statement, too.
//
//   pace=N   milliseconds between two rounds (10)
//   busy=N   tasks that do nothing but work (2)
#include <array>
#include <iterator>
#include <string_view>

#include "base/text.h"
#include "kernel/app.h"
#include "kernel/console.h"
#include "kernel/log.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/corpus/cx_pool.h"
#include "tests/guest/corpus/endless.h"
#include "tests/guest/corpus/probes.h"
#include "tests/guest/corpus/setup.h"

namespace corpus {
namespace {

using graft::u64;
using graft::usize;

constexpr u64 kMillisecond = 1'000'000;

struct Probe {
    std::string_view name;
    long (*read)();
};

constexpr Probe kProbes[] = {
#define PROBE(name) {#name, probe_##name},
#include "tests/guest/corpus/probes.def"
#undef PROBE
};

u64 pace_ns;
u64 rounds;
std::array<long, std::size(kProbes)> last_values;

void tell(std::string_view name, long value) {
    graft::Text<80> line;
    line.append("probe ", name, " ", value, "\n");
    graft::kernel::console_write(line.view());
}

void tell_rounds() {
    graft::Text<80> line;
    line.append("rounds ", rounds, "\n");
    graft::kernel::console_write(line.view());
}

// Its loop around it never changes, so everything that a round does can be patched.
[[gnu::noinline]] void look() {
    for (usize i = 0; i < std::size(kProbes); ++i) {
        long value = kProbes[i].read();
        if (rounds != 0 && value == last_values[i]) continue;
        last_values[i] = value;
        tell(kProbes[i].name, value);
    }
    if (rounds++ % 5 == 0) tell_rounds();
    graft::kernel::sleep_ns(pace_ns);
}

void watch(void*) {
    for (;;) look();
}

[[gnu::noinline]] void work_a_little() {
    volatile u64 sum = 0;
    for (u64 i = 0; i < 20'000; ++i) sum = sum + i;
    graft::kernel::sleep_ns(kMillisecond);
}

void keep_busy(void*) {
    for (;;) work_a_little();
}

void start(graft::kernel::TaskFunction function, std::string_view name) {
    auto task = graft::kernel::create_task(function, nullptr, {.name = name});
    if (!task) graft::kernel::log_parts(graft::kernel::LogLevel::error, "corpus: no memory for ", name);
}

}  // namespace
}  // namespace corpus

void app_main(const graft::kernel::CommandLine& arguments) {
    corpus::pace_ns = arguments.number("pace", 10) * corpus::kMillisecond;
    cx_pool_init();
    corpus::set_up();
    corpus::start(corpus::watch, "watch");
    corpus::start(corpus::beat_for_ever, "beat");
    for (graft::u64 i = 0; i < arguments.number("busy", 2); ++i) corpus::start(corpus::keep_busy, "busy");
}
