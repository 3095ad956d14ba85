// The load under which the torture patch comes and goes: tasks of every kind that a transition can meet, each of which
// makes round after round and checks each of them.
//
//   busy      never sleep: they can only be moved by an interrupt
//   sleeper   sleep between rounds: moved by a walk
//   inside    live in the changing functions most of the time: moved by a hook
//   cold      blocked in a split-off part
//   thunk     blocked behind a this-adjusting thunk
//   deep      blocked under several frames of one changing function
//   midwife   makes tasks that live for a few rounds, also from inside the pair
#pragma once

#include <atomic>

#include "base/types.h"

namespace graft::torture {

struct Totals {
    std::atomic<u64> rounds{0};
    std::atomic<u64> mixed{0};  // rounds that saw both sides
    std::atomic<u64> wrong{0};  // rounds whose result isn't what both versions compute
    std::atomic<u64> births{0};
    std::atomic<u64> failed_births{0};
};
extern Totals g_totals;

inline constexpr usize kLastingTasks = 26;

// Starts kLastingTasks tasks. False when one couldn't be made. Context: task.
bool start_workload(u64 seed);
// Asks all long-lived tasks to end, and waits until they and the short-lived ones have.
void stop_workload();

// Lets go whoever waits at the gate now.
void open_gate();
// While births are held back, no new short-lived task appears; returns when the last of them has ended.
void hold_births();
void allow_births();

// Marks where each long-lived task stands; all_went_on() is true when each has finished a round begun since, and its
// patch state is `state`.
void mark_progress();
bool all_went_on(u8 state);
// Names of those that have not, on the console.
void report_stuck(u8 state);

}  // namespace graft::torture
