// One history: patches of several sets are loaded, replaced, rolled back, committed, unloaded, reversed, forced and
// refused at random while tasks run and time passes, and everything is given back in the end. What each request leads
// to is compared with what the model says. The same seed gives the same history.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/types.h"
#include "patch/machine.h"
#include "patch/refusal.h"
#include "tests/sim/defect.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

struct HistoryOptions {
    u64 seed = 1;
    Defect defect = Defect::none;
    usize tasks = 0;  // 0: chosen by the seed, mostly 2 to 16, for one seed in a thousand some thousands
    usize operations = 100;
};

// What a history may come to; each is counted.
enum class Happening : u8 {
    loaded,
    replaced,
    replaced_by_empty,  // the successor replaces no function
    replaced_by_same,   // it has the same contents
    probation,
    rolled_back,
    rolled_back_to_original,
    rolled_back_by_itself,
    rollback_turned,  // ended with the successor in force again
    committed,
    expired,  // a probation
    unloaded,
    unloaded_on_probation,
    unload_turned,
    load_turned,
    turned,           // each time
    deadline_turned,  // by a deadline
    withdrawn_load,
    fault_turned,       // a contained fault turned the transition
    fault_rolled_back,  // or had the patch rolled back
    fault_on_way_out,   // or came when it was going already
    fault_fatal,        // one in code whose faults aren't contained
    forced,
    forced_inside,     // tasks that were moved while inside
    forced_in_flight,  // that had chosen their version already
    turned_after_force,
    forced_freed,  // patches put out of force by force
    lingered,
    freed_later,      // by a search of its own
    request_failed,   // an allocation or another call of the machine's was made to fail
    rollback_failed,  // one that was due
    stuck,
    canary,  // whose share has moved
    canary_promoted,
    canary_turned,    // each time
    canary_gave_way,  // to a rollback that was due
    born_across,      // on the other side than the creator's
    born_inherited,   // on the creator's side, since it was inside
    without_sites,    // transitions of no call site
    birth,
    death,
    thousands,  // histories of thousands of tasks
    count,
};
inline constexpr usize kHappeningCount = static_cast<usize>(Happening::count);

std::string_view name_of(Happening happening);

struct HistoryResult {
    std::array<u64, kHappeningCount> happened{};
    std::array<u64, patch::kRefusalCodeCount> refused{};
    u64 events = 0;
    u64 histories = 1;
    patch::MoveCounts moves{};
    std::string violation;  // empty: none

    u64& count(Happening happening) { return happened[static_cast<usize>(happening)]; }
    void add(const HistoryResult& other);
};

// The refusals that these histories must reach, when there are enough of them.
std::array<patch::RefusalCode, 17> expected_refusals();

HistoryResult run_history(SimImage& image, const HistoryOptions& options);

}  // namespace graft::sim
