// One history: patches are loaded, unloaded, reversed and refused at random while tasks run, and everything is given
// back in the end. The same seed gives the same history.
#pragma once

#include <string>

#include "base/types.h"
#include "patch/machine.h"
#include "tests/sim/defect.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

struct HistoryOptions {
    u64 seed = 1;
    Defect defect = Defect::none;
    usize tasks = 0;  // 0: chosen by the seed
    usize operations = 100;
};

struct HistoryResult {
    u64 events = 0;
    u64 loads = 0;  // transitions ended with the patch in force
    u64 unloads = 0;
    u64 turns = 0;
    u64 refusals = 0;
    u64 lingered = 0;
    u64 freed = 0;
    patch::MoveCounts moves{};
    std::string violation;  // empty: none
};

HistoryResult run_history(SimImage& image, const HistoryOptions& options);

}  // namespace graft::sim
