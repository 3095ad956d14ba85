// A small run of the histories of states (make sim runs the large one), under the sanitizers.
#include <gtest/gtest.h>

#include "tests/sim/state_history.h"

namespace graft::sim {
namespace {

TEST(SimStateHistory, HoldsTheRulesAndReachesThemAll) {
    SimImage image(16);
    StateHistoryResult sum;
    for (u64 seed = 1; seed <= 300; ++seed) {
        auto result = run_state_history(image, seed);
        ASSERT_EQ(result.violation, "") << "seed " << seed;
        sum.callbacks += result.callbacks;
        sum.takeovers += result.takeovers;
        sum.rollbacks += result.rollbacks;
        sum.overdue += result.overdue;
        sum.ended_variables += result.ended_variables;
        for (auto& [code, count] : result.refusals) sum.refusals[code] += count;
    }
    EXPECT_GT(sum.callbacks, 1000u);
    EXPECT_GT(sum.takeovers, 20u);
    EXPECT_GT(sum.rollbacks, 20u);
    EXPECT_GT(sum.overdue, 20u);
    EXPECT_GT(sum.ended_variables, 20u);
    for (auto* code : {"callback_running", "state_taken", "older_state", "irreversible_state"})
        EXPECT_GT(sum.refusals[code], 0u) << code;
}

TEST(SimStateHistory, ReplaysFromItsSeed) {
    SimImage image(16);
    auto first = run_state_history(image, 77);
    auto second = run_state_history(image, 77);
    EXPECT_EQ(first.callbacks, second.callbacks);
    EXPECT_EQ(first.takeovers, second.takeovers);
    EXPECT_EQ(first.refusals, second.refusals);
}

}  // namespace
}  // namespace graft::sim
