#include <gtest/gtest.h>

#include "patch/health.h"

namespace graft::patch {
namespace {

std::string written(std::string_view text) {
    auto rule = parse_health_rule(text);
    if (!rule) return "refused";
    Text<40> out;
    render(*rule, out);
    return std::string(out.view());
}

TEST(HealthRules, AreReadAndWrittenAlike) {
    for (const char* text :
         {"faults>0", "faults>1000000000", "p99>2x", "p99>1.25x", "p99>1.5x", "p99>0.05x", "p99>1000x"})
        EXPECT_EQ(written(text), text);
    EXPECT_EQ(written("p99>2.0x"), "p99>2x");
    EXPECT_EQ(written("p99>2.50x"), "p99>2.5x");
}

TEST(HealthRules, AnythingElseIsRefused) {
    for (const char* text : {"",           "faults",    "faults>",   "faults>-1",         "faults>1x",
                             "faults>0 ",  " faults>0", "faults>=0", "faults>1000000001", "faults>99999999999999999999",
                             "p99>2",      "p99>x",     "p99>0x",    "p99>0.00x",         "p99>1.x",
                             "p99>1.234x", "p99>.5x",   "p99>1001x", "p99>1000.01x",      "p99>2X",
                             "p99>2xx",    "p99<2x",    "mean>2x"})
        EXPECT_EQ(written(text), "refused") << text;
}

TEST(HealthRules, HoldAsManyAsTheyMay) {
    HealthRules rules;
    EXPECT_TRUE(rules.empty());
    for (usize i = 0; i < kMaxHealthRules; ++i) EXPECT_TRUE(rules.add({HealthRule::Kind::faults, i}));
    EXPECT_FALSE(rules.add({HealthRule::Kind::p99, 200}));
    EXPECT_TRUE(rules.has(HealthRule::Kind::faults));
    EXPECT_FALSE(rules.has(HealthRule::Kind::p99));
}

TEST(HealthRules, ComparesFromAThousandCallsOfEachOn) {
    HealthRule rule = *parse_health_rule("p99>2x");
    MeasuredFunction function;
    function.before = {.timed = kHealthSample, .p99_ns = 100};
    function.after = {.timed = kHealthSample, .p99_ns = 201};
    EXPECT_TRUE(is_broken(rule, function));
    function.after.p99_ns = 200;
    EXPECT_FALSE(is_broken(rule, function));
    function.after.p99_ns = 10'000;
    function.after.timed = kHealthSample - 1;
    EXPECT_FALSE(is_broken(rule, function));
    function.after.timed = kHealthSample;
    function.before.timed = kHealthSample - 1;
    EXPECT_FALSE(is_broken(rule, function));
}

}  // namespace
}  // namespace graft::patch
