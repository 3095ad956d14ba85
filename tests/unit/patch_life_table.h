// What each request and event leads to in each situation of a patch: the table of docs/reference/life-cycle.md, which
// tests/docs/life_cycle_test.py compares with this one, cell by cell.
//
// A cell is the name of a refusal's code, or what happens:
//   begins    a transition begins
//   turns     the running transition turns
//   cancels   what was asked for before is given up as soon as the callback that runs has returned
//   moves     all tasks that are left have moved; of a canary, all of the share
//   promotes  from now on, all tasks move
//   commits   the probation ends, and a dormant predecessor is let go
//   due       a rollback is the next transition
//   no        it can't be
//   -         nothing
// and at the end of what runs, where the patch is then: enabled, on probation, held, dormant, gone.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "base/types.h"

namespace graft::patch::life {

// Columns of the table.
enum class Request : u8 {
    unregister,
    reverse,
    rollback,
    commit,
    force,
    promote,
    successor,  // a load of a patch of the same set
    other,      // one of another set
    name,       // one of another set, under the patch's name
    withdraw,   // the system itself takes the patch back
    time,       // a minute passes
    end,        // callbacks return, tasks move
};
inline constexpr std::array<std::string_view, 12> kRequestNames = {"unregister", "reverse",  "rollback",  "commit",
                                                                   "force",      "promote",  "successor", "other",
                                                                   "name",       "withdraw", "time",      "end"};
inline constexpr usize kRequestCount = kRequestNames.size();

struct Row {
    std::string_view situation;
    std::string_view patch;  // that it is the situation of
    std::array<std::string_view, kRequestCount> cells;
};

std::span<const Row> rows();

}  // namespace graft::patch::life
