// What a call of a function costs before, during and after a patch of it.

#include <algorithm>

#include "kernel/patch_machine.h"
#include "tests/guest/bench/bench.h"
#include "tests/guest/bench/calls.h"
#include "tests/guest/bench/changing.h"
#include "tests/guest/bench/driver.h"
#include "tests/guest/shared/ktap.h"

namespace graft::bench {

namespace {

// The claims, in hundredths of an instruction.
constexpr u64 kSiteCost = 100;
constexpr u64 kSettledAtMost = 200;
constexpr u64 kInTransitionAtMost = 500;

struct CallBench {
    Driver driver;
    u64 rounds;
    u64 unpatched = 0;
    u64 in_transition = 0;  // the dearest
};

const char* check_counter() {
    KTAP_CHECK(counter_counts_instructions());
    return nullptr;
}

const char* measure_unpatched(CallBench& bench) {
    u64 past_site = past_site_call_hundredths(bench.rounds);
    bench.unpatched = target_call_hundredths(bench.rounds);
    print_figure("past_site", past_site);
    print_figure("unpatched", bench.unpatched);
    KTAP_CHECK(target() == kOriginal);
    KTAP_CHECK(bench.unpatched == past_site + kSiteCost);
    return nullptr;
}

// Measures calls of a function whose both universes have the original while it stands.
class MeasuredHere {
public:
    explicit MeasuredHere(const void* function)
        : dispatch_{VirtAddr(function),
                    {VirtAddr(function) + patch::kCallSiteSize, VirtAddr(function) + patch::kCallSiteSize},
                    true} {
        patch::SiteChange change{dispatch_.entry, machine_.measured_site(dispatch_.entry)};
        auto prepared =
            machine_.prepare_measuring(std::span(&dispatch_, 1), patch::Universe::zero, patch::Universe::one);
        works_ = prepared && machine_.write_sites(std::span(&change, 1));
    }
    MeasuredHere(const MeasuredHere&) = delete;
    MeasuredHere& operator=(const MeasuredHere&) = delete;
    ~MeasuredHere() {
        patch::SiteChange change{dispatch_.entry, {}};
        (void)machine_.write_sites(std::span(&change, 1));
        machine_.stop_measuring(std::span(&dispatch_, 1));
    }

    bool works() const { return works_; }
    u64 calls() const { return machine_.measured(dispatch_.entry).before.calls; }

private:
    kernel::PatchMachine machine_;
    patch::Dispatch dispatch_;
    bool works_ = false;
};

const char* measure_measured(CallBench& bench) {
    {
        MeasuredHere other(reinterpret_cast<const void*>(&counter_counts_instructions));
        KTAP_CHECK(other.works());
        u64 beside = target_call_hundredths(bench.rounds);
        print_figure("beside_measured", beside);
        KTAP_CHECK(beside == bench.unpatched);
    }
    MeasuredHere here(reinterpret_cast<const void*>(&target));
    KTAP_CHECK(here.works());
    print_figure("measured", target_call_hundredths(bench.rounds));
    KTAP_CHECK(here.calls() == 3 * bench.rounds * kCallsPerRound);
    return nullptr;
}

// Both sides of a transition: this task has moved, the holder is where it was.
const char* measure_in_transition(CallBench& bench, Way way) {
    Holder holder;
    KTAP_CHECK(holder.enter());
    KTAP_CHECK(bench.driver.begin(way));
    KTAP_CHECK(eventually([&] { return bench.driver.is_held(); }));
    bool sides_differ = own_patch_state() != holder.patch_state();
    u64 version = target();
    u64 moved = target_call_hundredths(bench.rounds);
    u64 left = holder.call_hundredths(bench.rounds);
    bool still_held = bench.driver.is_held();
    holder.let_go();
    auto passage = bench.driver.end();
    holder.join();

    bool loading = way == Way::load;
    print_figure(loading ? "loading_moved" : "unloading_moved", moved);
    print_figure(loading ? "loading_not_moved" : "unloading_not_moved", left);
    bench.in_transition = std::max({bench.in_transition, moved, left});
    KTAP_CHECK(sides_differ && still_held && passage);
    KTAP_CHECK(version == (loading ? kReplacement : kOriginal));
    KTAP_CHECK(moved <= bench.unpatched + kInTransitionAtMost);
    KTAP_CHECK(left <= bench.unpatched + kInTransitionAtMost);
    return nullptr;
}

const char* measure_settled(CallBench& bench) {
    u64 settled = target_call_hundredths(bench.rounds);
    print_figure("settled", settled);
    KTAP_CHECK(target() == kReplacement);
    KTAP_CHECK(settled <= bench.unpatched + kSettledAtMost);
    return nullptr;
}

const char* measure_unloaded(CallBench& bench) {
    u64 unloaded = target_call_hundredths(bench.rounds);
    print_figure("unloaded", unloaded);
    KTAP_CHECK(target() == kOriginal);
    KTAP_CHECK(unloaded == bench.unpatched);
    return nullptr;
}

}  // namespace

bool bench_calls(std::span<const std::byte> file, const kernel::CommandLine& arguments) {
    u64 rounds = arguments.number("calls", 100'000) / kCallsPerRound;
    CallBench bench{.driver = Driver(file), .rounds = rounds == 0 ? 1 : rounds};
    tests::Ktap ktap(7);
    ktap.run("the time stamp counter counts instructions", check_counter);
    ktap.run("an unpatched call costs its NOP", [&] { return measure_unpatched(bench); });
    ktap.run("a measured call, and one beside it", [&] { return measure_measured(bench); });
    ktap.run("a call while the patch comes", [&] { return measure_in_transition(bench, Way::load); });
    ktap.run("a call of a patched function, settled", [&] { return measure_settled(bench); });
    ktap.run("a call while the patch goes", [&] { return measure_in_transition(bench, Way::unload); });
    ktap.run("a call after the patch has gone", [&] { return measure_unloaded(bench); });
    print_figure("in_transition", bench.in_transition);
    return ktap.failed() == 0;
}

}  // namespace graft::bench
