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

#include "base/text.h"
#include "kernel/app.h"
#include "kernel/patch_service.h"
#include "kernel/power.h"
#include "kernel/task_list.h"
#include "tests/guest/lifecycle/operations.h"
#include "tests/guest/shared/idle_tasks.h"

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

// Changes three times as often as refusals: they bring the sets from state to state.
usize pick_kind(Lifecycle& life) {
    if (!one_in(life, 4)) return draw(life, changes().size());
    return changes().size() + draw(life, refusals().size());
}

// What has been done the fewest times, of those in `kinds`.
usize rarest_kind(const Counts& counts, u64 kinds) {
    usize rarest = kMostKinds;
    for (usize kind = 0; kind < kind_count(); ++kind) {
        if ((kinds >> kind & 1) != 0 && (rarest == kMostKinds || counts[kind] < counts[rarest])) rarest = kind;
    }
    return rarest;
}

bool run_kind(Lifecycle& life, usize kind, Counts& counts) {
    u64 wrong = life.wrong;
    bool done = operation(kind).run(life);
    counts[kind] += done ? 1 : 0;
    if (life.wrong == wrong) return done;
    Text<80> line;
    line.append("# in ", operation(kind).kind, "\n");
    say(line.view());
    return done;
}

// Every other time the rarest that the sets allow: some states of the sets would come up too seldom.
void run_one(Lifecycle& life, Counts& counts) {
    bool done = false;
    u64 untried = one_in(life, 2) ? (u64{1} << kind_count()) - 1 : 0;
    while (!done && untried != 0) {
        usize kind = rarest_kind(counts, untried);
        untried &= ~(u64{1} << kind);
        done = run_kind(life, kind, counts);
    }
    while (!done) done = run_kind(life, pick_kind(life), counts);
}

bool check(std::string_view name, bool holds, u64 number) {
    Text<120> line;
    line.append(holds ? "ok " : "not ok ", number, " - ", name, "\n");
    say(line.view());
    return holds;
}

// The smallest count.
u64 report_counts(const Lifecycle& life, const Counts& counts) {
    u64 least = ~u64{0};
    auto report = [&](std::string_view what, u64 count) {
        Text<80> line;
        line.append("# ", what, " ", count, "\n");
        say(line.view());
        least = std::min(least, count);
    };
    for (usize kind = 0; kind < kind_count(); ++kind) report(operation(kind).kind, counts[kind]);
    for (usize i = 0; i < kSituationCount; ++i) report(kSituationNames[i], life.situations[i]);
    return least;
}

bool report_result(Lifecycle& life, const Counts& counts, u64 ops) {
    u64 least = report_counts(life, counts);
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
    bool ready = tests::wait_for_idle_tasks();
    life.lasting_tasks = kernel::task_count() + kLastingTasks;
    if (!ready || !start_workload(next_random(life.random))) {
        say("Bail out! a processor or the workload's tasks can't start\n");
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
