// The torture: a patch comes, goes and turns round at random moments under the workload, cycle after cycle, and at the
// end of each everything must be as the design says.
//
//   cycles=N   how many cycles (default 20)
//   seed=N     of all random choices (default 1)
//
// The patch is the first boot module, and `patches=manual` keeps the kernel from loading it. Output: KTAP, and a last
// line
//   torture: cycles=N calls=N mixed=N lost=N leaked=N …
//
// mixed   rounds that saw both sides, or whose result was neither version's
// lost    long-lived tasks that made no further round after a cycle, or whose patch state isn't the settled one
// leaked  pages, heap bytes, records, code registrations or stacks differ from what they were after the tenth cycle

#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/clock.h"
#include "base/text.h"
#include "kernel/app.h"
#include "kernel/boot_patches.h"
#include "kernel/code_map.h"
#include "kernel/console.h"
#include "kernel/memory.h"
#include "kernel/patch_service.h"
#include "kernel/power.h"
#include "kernel/stacks.h"
#include "kernel/task_list.h"
#include "kernel/task_walk.h"
#include "kernel/timers.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/footprint.h"
#include "tests/guest/shared/idle_tasks.h"
#include "tests/guest/shared/random.h"
#include "tests/guest/torture/workload.h"

namespace graft::torture {

namespace {

using patch::HistoryEvent;
using patch::HistoryRecord;
using tests::eventually;
using tests::Footprint;
using tests::footprint;
using tests::next_random;

constexpr std::string_view kPatch = "torture-pair";
constexpr u64 kWarmUpCycles = 10;
constexpr u64 kRoundsPerCycle = 1000;
constexpr u64 kSeenAtLeast = 20;  // of every cause of a move, breakpoints and interrupted trampolines
struct Torture {
    patch::Registry& registry;
    std::span<const std::byte> file;
    u64 random;
    u64 lasting_tasks = 0;
    u64 next_record = 1;
    u64 lost = 0;
    u64 leaked = 0;
    u64 refused = 0;
    u64 turned = 0;
    patch::MoveCounts moves{};
    bool hung = false;
};

u64 draw(Torture& torture) {
    return next_random(torture.random);
}

bool one_in(Torture& torture, u64 n) {
    return draw(torture) % n == 0;
}

void sleep_randomly(Torture& torture, u64 bound_ns) {
    if (one_in(torture, 3)) return;
    kernel::sleep_ns(draw(torture) % bound_ns);
}

void say(std::string_view text) {
    kernel::console_write(text);
}

// Reads on in the history; the last end of a transition that it finds.
HistoryEvent read_end(Torture& torture) {
    HistoryEvent end = HistoryEvent::load_started;
    std::array<HistoryRecord, 4> records;
    u64 last = 0;
    while (usize count = torture.registry.read_history(torture.next_record, records, last)) {
        for (usize i = 0; i < count; ++i) {
            const HistoryRecord& record = records[i];
            torture.next_record = record.number + 1;
            if (record.event != HistoryEvent::loaded && record.event != HistoryEvent::unloaded) continue;
            end = record.event;
            for (usize cause = 0; cause < patch::kMoveCauseCount; ++cause) torture.moves[cause] += record.moves[cause];
        }
    }
    return end;
}

// The end of the running transition: loaded or unloaded.
HistoryEvent wait_for_end(Torture& torture) {
    bool ended = eventually([&] { return !torture.registry.transition().has_value(); });
    if (!ended) {
        torture.hung = true;
        say("# a transition doesn't end\n");
    }
    return read_end(torture);
}

void turn_sometimes(Torture& torture) {
    u64 turns = one_in(torture, 3) ? 1 + draw(torture) % 3 : 0;
    for (; turns > 0; --turns) {
        sleep_randomly(torture, 4'000'000);
        if (torture.registry.reverse(kPatch)) ++torture.turned;
    }
}

void load(Torture& torture) {
    auto started = torture.registry.load(torture.file, {}, {});
    if (started) return;
    Text<320> line;
    line.append("# refused: ");
    patch::render(started.error(), line);
    line.append("\n");
    say(line.view());
    ++torture.refused;
}

class Ignore final : public patch::PatchVisitor {
public:
    void patch(const patch::PatchView&) override {}
};

bool is_loaded(Torture& torture) {
    Ignore ignore;
    return torture.registry.visit_patch(kPatch, ignore);
}

class CountLingering final : public patch::LingeringVisitor {
public:
    void lingering(std::string_view, std::span<const patch::Reference>, u64) override { ++count; }
    u64 count = 0;
};

// A stale word on some stack may hold the patch's memory for a while; the words of living frames change.
void wait_until_freed(Torture& torture) {
    bool freed = eventually([&] {
        CountLingering lingering;
        torture.registry.retry_lingering();
        torture.registry.visit_lingering(lingering);
        return lingering.count == 0;
    });
    if (freed) return;
    say("# the patch's memory isn't freed\n");
    torture.leaked = 1;
    torture.hung = true;
}

void let_rounds_pass(Torture& torture, u64 start) {
    if (eventually([&] { return g_totals.rounds.load(std::memory_order_relaxed) - start >= kRoundsPerCycle; })) return;
    torture.hung = true;
    say("# no rounds are made\n");
}

void check_that_all_go_on(Torture& torture) {
    u8 settled = kernel::settled_patch_state();
    mark_progress();
    if (eventually([&] { return all_went_on(settled); })) return;
    ++torture.lost;
    report_stuck(settled);
}

void run_cycle(Torture& torture) {
    u64 start = g_totals.rounds.load(std::memory_order_relaxed);
    load(torture);
    turn_sometimes(torture);
    HistoryEvent end = wait_for_end(torture);
    if (end == HistoryEvent::loaded) {
        sleep_randomly(torture, 10'000'000);
        let_rounds_pass(torture, start);
    }
    while (is_loaded(torture) && !torture.hung) {
        (void)torture.registry.unregister(kPatch);
        turn_sometimes(torture);
        wait_for_end(torture);
    }
    wait_until_freed(torture);
    let_rounds_pass(torture, start);
    check_that_all_go_on(torture);
}

void report_tasks(u64 expected) {
    Text<120> line;
    line.append("# ", kernel::task_count(), " tasks, expected ", expected, ":\n");
    say(line.view());
    for (kernel::TaskRef task = kernel::next_task({}); task; task = kernel::next_task(std::move(task))) {
        line.clear();
        line.append("# ", task->id, " ", task->name_view(), "\n");
        say(line.view());
    }
}

// Of the moment when only the long-lived tasks are there.
Footprint settled_footprint(Torture& torture) {
    hold_births();
    if (!eventually([&] { return kernel::task_count() == torture.lasting_tasks; })) {
        torture.hung = true;
        report_tasks(torture.lasting_tasks);
    }
    Footprint now = footprint();
    allow_births();
    return now;
}

bool check(const char* name, bool holds, u64 number) {
    Text<120> line;
    line.append(holds ? "ok " : "not ok ", number, " - ", name, "\n");
    say(line.view());
    return holds;
}

// Nobody forces anything here.
bool is_expected(usize cause) {
    return static_cast<patch::MoveCause>(cause) != patch::MoveCause::force;
}

bool all_seen(const Torture& torture, u64 breakpoints, u64 trampolines) {
    bool seen = breakpoints >= kSeenAtLeast && trampolines >= kSeenAtLeast;
    for (usize cause = 0; cause < torture.moves.size(); ++cause)
        seen = seen && (torture.moves[cause] >= kSeenAtLeast || !is_expected(cause));
    return seen;
}

bool report_result(Torture& torture, u64 cycles) {
    u64 breakpoints = arch::breakpoints_at_call_sites();
    u64 trampolines = kernel::interrupted_trampolines();
    u64 mixed = g_totals.mixed.load(std::memory_order_relaxed);
    u64 wrong = g_totals.wrong.load(std::memory_order_relaxed);
    say("KTAP version 1\n1..6\n");
    bool good = check("no round saw both sides", mixed == 0 && wrong == 0, 1);
    good = check("no task was lost", torture.lost == 0 && !torture.hung, 2) && good;
    good = check("nothing leaked", torture.leaked == 0, 3) && good;
    good = check("no load was refused", torture.refused == 0, 4) && good;
    good = check("transitions were turned", torture.turned != 0, 5) && good;
    good = check("every cause was seen", cycles < 100 || all_seen(torture, breakpoints, trampolines), 6) && good;
    Text<400> line;
    line.append("torture: cycles=", cycles, " calls=", g_totals.rounds.load(std::memory_order_relaxed),
                " mixed=", mixed + wrong, " lost=", torture.lost, " leaked=", torture.leaked);
    for (usize cause = 0; cause < patch::kMoveCauseCount; ++cause) {
        line.append(" ", patch::name_of(static_cast<patch::MoveCause>(cause)), "=", torture.moves[cause]);
    }
    line.append(" breakpoints=", breakpoints, " trampolines=", trampolines, " turned=", torture.turned,
                " births=", g_totals.births.load(std::memory_order_relaxed), "\n");
    say(line.view());
    return good;
}

bool run(u64 cycles, u64 seed, std::span<const std::byte> file) {
    Torture torture{.registry = kernel::patch_registry(), .file = file, .random = seed * 0x9e3779b97f4a7c15 | 1};
    bool ready = tests::wait_for_idle_tasks();
    torture.lasting_tasks = kernel::task_count() + kLastingTasks;
    if (!ready || !start_workload(draw(torture))) {
        say("Bail out! a processor or the workload's tasks can't start\n");
        return false;
    }
    Footprint settled;
    for (u64 cycle = 1; cycle <= cycles && !torture.hung; ++cycle) {
        run_cycle(torture);
        if (cycle == kWarmUpCycles) {
            settled = settled_footprint(torture);
            report("after the tenth cycle", settled);
        }
    }
    if (cycles > kWarmUpCycles && !torture.hung) {
        // What a task frees reaches the pools when it is next scheduled: equal at some moment is equal.
        if (!eventually([&] { return settled_footprint(torture) == settled; })) {
            torture.leaked = 1;
            report("at the end", settled_footprint(torture));
        }
    }
    bool good = report_result(torture, cycles);
    if (!torture.hung) stop_workload();
    return good;
}

}  // namespace

}  // namespace graft::torture

void app_main(const graft::kernel::CommandLine& arguments) {
    using namespace graft;
    auto file = kernel::boot_patch(0);
    if (file.empty()) {
        torture::say("Bail out! the torture's patch must be the first boot module\n");
        kernel::exit_with(kernel::kExitFailure);
    }
    bool good = torture::run(arguments.number("cycles", 20), arguments.number("seed", 1), file);
    kernel::exit_with(good ? kernel::kExitSuccess : kernel::kExitFailure);
}
