// The load under which patches come and go: tasks that call the changing functions round after round and judge what
// they see, some asleep inside, some that make and end tasks; and one that stays inside for as long as it is told to.
#pragma once

#include <atomic>

#include "base/types.h"
#include "tests/guest/lifecycle/world.h"

namespace graft::lifecycle {

// What has functions, and so can be seen in calls.
enum class Place : u8 { pair, solo };
inline constexpr usize kPlaceCount = 2;

// A bit for each File.
using Files = u64;
constexpr Files one(File file) {
    return u64{1} << static_cast<u8>(file);
}

struct Totals {
    std::atomic<u64> rounds{0};
    std::atomic<u64> mixed{0};  // one call of call_pair() saw two patches
    std::atomic<u64> wrong{0};  // a call saw a patch that can't be in force
    std::atomic<u64> births{0};
};
extern Totals g_totals;

inline constexpr usize kLastingTasks = 11;

// False when a task couldn't be made. Context: task.
[[nodiscard]] bool start_workload(u64 seed);
void stop_workload();

// From now on calls at `place` may see any of `files`, and nothing else.
void allow(Place place, Files files);
// What a call at `place` by this task sees now: the patches that it can be, 0 for a mixture.
Files observe(Place place);

// Has the staying task call alpha (through call_pair) or gamma; returns when it is inside. Its calls aren't judged.
void enter(Place place);
// Returns when it has left.
void leave();
[[nodiscard]] u64 staying_task();

// Has a new task call alpha (through call_pair) or gamma and fault below it. True when it was stopped and all others go
// on: somebody must contain it.
[[nodiscard]] bool fault_at(Place place);

// While births are held back no new short-lived task appears; returns when the last one has ended.
void hold_births();
void allow_births();

// Marks where each worker stands; all_went_on(): each has since finished a round that began after the mark.
void mark_progress();
[[nodiscard]] bool all_went_on();

// Holds pre_patch callbacks at their beginning.
void hold_pre_patch();
[[nodiscard]] bool is_in_pre_patch();
void release_pre_patch();

}  // namespace graft::lifecycle
