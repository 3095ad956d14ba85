// A small run of the simulation (make sim runs the large one), under the sanitizers.
#include <gtest/gtest.h>

#include "tests/sim/history.h"

namespace graft::sim {
namespace {

TEST(SimHistory, HoldsTheRules) {
    SimImage image(16);
    u64 loads = 0;
    for (u64 seed = 1000; seed < 1012; ++seed) {
        auto result = run_history(image, {.seed = seed, .tasks = 30, .operations = 40});
        EXPECT_EQ(result.violation, "") << "seed " << seed;
        loads += result.count(Happening::loaded);
    }
    EXPECT_GT(loads, 0u);
}

TEST(SimHistory, ReplaysFromItsSeed) {
    SimImage image(16);
    auto first = run_history(image, {.seed = 77, .tasks = 20, .operations = 20});
    auto second = run_history(image, {.seed = 77, .tasks = 20, .operations = 20});
    EXPECT_EQ(first.events, second.events);
    EXPECT_EQ(first.moves, second.moves);
    EXPECT_EQ(first.happened, second.happened);
}

TEST(SimHistory, NoticesADefect) {
    SimImage image(16);
    std::string violation;
    for (u64 seed = 1; violation.empty() && seed < 60; ++seed) {
        violation = run_history(image, {.seed = seed, .defect = Defect::holds_ignored}).violation;
    }
    EXPECT_NE(violation, "");
}

}  // namespace
}  // namespace graft::sim
