// One history of states: patches of two sets with states come and go at random, with callbacks that refuse, fault and
// take long; and a plain model says which callback may run when, and who holds which state. Tasks are of no account
// here: a transition goes on until the history lets it end. The same seed gives the same history.
#pragma once

#include <map>
#include <string>

#include "base/types.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

struct StateHistoryResult {
    u64 events = 0;
    u64 callbacks = 0;
    u64 takeovers = 0;  // states handed on without a call
    u64 rollbacks = 0;
    u64 refused_by_pre_patch = 0;
    u64 overdue = 0;
    u64 ended_variables = 0;
    std::map<std::string, u64> refusals;  // by code
    std::string violation;                // empty: none
};

StateHistoryResult run_state_history(SimImage& image, u64 seed);

}  // namespace graft::sim
