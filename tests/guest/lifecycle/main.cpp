// The life cycle: random operations over everything that the registry offers, under load, each compared with a plain
// model of what must be.
//
//   ops=N      how many operations (default 100)
//   seed=N     of all random choices (default 1)
//
// The patches are the first boot module, in the order of File (world.h), and `patches=manual` keeps the kernel from
// loading it. Output: a count for each kind of operation, KTAP, and a last line
//   lifecycle: ops=N wrong=N leaked=N …
//
// wrong    calls that saw what can't be in force or two patches at once, and every other difference from the model
// leaked   pages, heap bytes, records, code registrations or stacks differ from what they were at the first look,
//          whenever no patch is there (every kOpsToBase operations)
//
// From kAllKindsFrom operations on the test fails when a kind was done fewer than kSeenAtLeast times.
#include <algorithm>
#include <cstddef>

#include "base/text.h"
#include "kernel/app.h"
#include "kernel/patch_service.h"
#include "kernel/power.h"
#include "kernel/task_list.h"
#include "tests/guest/lifecycle/operations.h"

namespace graft::lifecycle {

namespace {

constexpr u64 kOpsToBase = 50;
constexpr u64 kAllKindsFrom = 1000;
constexpr u64 kSeenAtLeast = 5;
constexpr usize kMostKinds = 48;

using Counts = std::array<u64, kMostKinds>;

usize kind_count() {
    return changes().size() + refusals().size();
}

const Operation& operation(usize kind) {
    return kind < changes().size() ? changes()[kind] : refusals()[kind - changes().size()];
}

// Changes three times as often as refusals: they bring the sets from state to state. Now and then what has been done
// the fewest times, which is what the sets rarely allow.
usize pick_kind(Lifecycle& life, const Counts& counts) {
    if (one_in(life, 4)) {
        auto first = counts.begin();
        return static_cast<usize>(std::min_element(first, first + static_cast<std::ptrdiff_t>(kind_count())) - first);
    }
    if (!one_in(life, 4)) return draw(life, changes().size());
    return changes().size() + draw(life, refusals().size());
}

void run_one(Lifecycle& life, Counts& counts) {
    for (;;) {
        usize kind = pick_kind(life, counts);
        u64 wrong = life.wrong;
        bool done = operation(kind).run(life);
        if (life.wrong != wrong) {
            Text<80> line;
            line.append("# in ", operation(kind).kind, "\n");
            say(line.view());
        }
        if (!done) continue;
        ++counts[kind];
        return;
    }
}

bool check(std::string_view name, bool holds, u64 number) {
    Text<120> line;
    line.append(holds ? "ok " : "not ok ", number, " - ", name, "\n");
    say(line.view());
    return holds;
}

// The smallest count.
u64 report_counts(const Counts& counts) {
    u64 least = ~u64{0};
    for (usize kind = 0; kind < kind_count(); ++kind) {
        Text<80> line;
        line.append("# ", operation(kind).kind, " ", counts[kind], "\n");
        say(line.view());
        least = std::min(least, counts[kind]);
    }
    return least;
}

bool report_result(Lifecycle& life, const Counts& counts, u64 ops) {
    u64 least = report_counts(counts);
    u64 mixed = g_totals.mixed.load(std::memory_order_relaxed);
    u64 wrong = g_totals.wrong.load(std::memory_order_relaxed);
    say("KTAP version 1\n1..5\n");
    bool good = check("no call saw two patches", mixed == 0, 1);
    good = check("no call saw another patch", wrong == 0, 2) && good;
    good = check("everything is as the model says", life.wrong == 0 && !life.hung, 3) && good;
    good = check("nothing leaked", life.leaked == 0 && life.base, 4) && good;
    good = check("every kind was done", ops < kAllKindsFrom || least >= kSeenAtLeast, 5) && good;
    Text<240> line;
    line.append("lifecycle: ops=", ops, " wrong=", life.wrong + mixed + wrong, " leaked=", life.leaked,
                " kinds=", kind_count(), " least=", least, " rounds=", g_totals.rounds.load(std::memory_order_relaxed),
                " births=", g_totals.births.load(std::memory_order_relaxed), "\n");
    say(line.view());
    return good;
}

bool run(u64 ops, u64 seed) {
    Lifecycle life{.registry = kernel::patch_registry(), .random = seed * 0x9e3779b97f4a7c15 | 1};
    life.lasting_tasks = kernel::task_count() + kLastingTasks;
    if (!start_workload(next_random(life.random))) {
        say("Bail out! the workload's tasks can't be made\n");
        return false;
    }
    Counts counts{};
    u64 done = 0;
    for (; done < ops && !life.hung; ++done) {
        run_one(life, counts);
        if ((done + 1) % kOpsToBase == 0) check_at_base(life);
    }
    if (!life.hung) check_at_base(life);
    bool good = report_result(life, counts, done);
    if (!life.hung) stop_workload();
    return good;
}

}  // namespace

}  // namespace graft::lifecycle

void app_main(const graft::kernel::CommandLine& arguments) {
    using namespace graft;
    if (!lifecycle::find_files()) {
        lifecycle::say("Bail out! the patches must be the first boot module\n");
        kernel::exit_with(kernel::kExitFailure);
    }
    bool good = lifecycle::run(arguments.number("ops", 100), arguments.number("seed", 1));
    kernel::exit_with(good ? kernel::kExitSuccess : kernel::kExitFailure);
}
