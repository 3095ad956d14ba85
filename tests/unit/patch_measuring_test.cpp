// Measuring of canaries: where call sites lead, from the load to the end of probation, and what health rules do.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

class PatchMeasuring : public PatchRegistryTest {
protected:
    static LoadOptions canary(u64 probation_ns = 0) {
        LoadOptions options;
        options.canary.kind = CanaryPolicy::Kind::percent;
        options.canary.percent = 10;
        options.probation_ns = probation_ns;
        return options;
    }
    static LoadOptions with_rule(LoadOptions options, std::string_view rule) {
        EXPECT_TRUE(options.health.add(*parse_health_rule(rule)));
        return options;
    }
    void start_canary(const Bytes& file, const LoadOptions& options) {
        start(file, options);
        EXPECT_EQ(registry->complete(), Completion::not_yet);
    }
    void promote(std::string_view name) {
        ASSERT_TRUE(registry->promote(name).has_value());
        ASSERT_EQ(registry->complete(), Completion::done);
    }
    bool is_measured(std::string_view function) {
        bool is_at_gate = machine.site(entry(function)) == machine.measured_site(entry(function));
        EXPECT_EQ(machine.measured(entry(function)).is_measured, is_at_gate);
        return is_at_gate;
    }
    // Timed calls of f0, of the old and the new version, with these p99.
    void count(u64 old_calls, u64 old_p99, u64 new_calls, u64 new_p99, u64 faults = 0) {
        MeasuredFunction& counted = machine.counted[entry("f0")];
        counted.before = {.calls = old_calls, .timed = old_calls, .p99_ns = old_p99};
        counted.after = {.calls = new_calls, .timed = new_calls, .faults = faults, .p99_ns = new_p99};
    }
    // Of the last such record.
    std::string reason_of(HistoryEvent event) {
        std::vector<HistoryRecord> records(kHistorySize);
        u64 last = 0;
        records.resize(registry->read_history(1, records, last));
        std::string reason;
        for (const HistoryRecord& record : records) {
            if (record.event == event) reason = record.other.view();
        }
        return reason;
    }
    void let_look() {
        machine.advance(kHealthPeriodNs);
        ASSERT_LE(machine.alarm_ns, machine.now_ns()) << "rules are looked at by themselves";
        let_pass(0);
    }
};

TEST_F(PatchMeasuring, BeginsWithACanaryAndEndsWithItsPromotion) {
    start_canary(make("fix", {"f0", "f1"}), canary());
    EXPECT_TRUE(is_measured("f0") && is_measured("f1"));
    promote("fix");
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_EQ(at("f1"), "fix");
}

TEST_F(PatchMeasuring, IsNotDoneOfOtherLoads) {
    ASSERT_TRUE(load(make("fix", {"f0"}), {}, {.probation_ns = kSecond}).has_value());
    EXPECT_FALSE(is_measured("f0"));
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_FALSE(is_measured("f0"));
}

TEST_F(PatchMeasuring, EndsWithAReverse) {
    start_canary(make("fix", {"f0"}), canary());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "original");
    EXPECT_FALSE(is_measured("f0"));
}

TEST_F(PatchMeasuring, GoesOnThroughProbationUntilCommit) {
    load_fully(make("fix", {"f0", "f3"}));
    start_canary(make_in_set("fix-2", "fix", {"f0", "f1"}), canary(60 * kSecond));
    promote("fix-2");
    for (const char* function : {"f0", "f1", "f3"}) EXPECT_TRUE(is_measured(function)) << function;
    ASSERT_TRUE(registry->commit("fix-2").has_value());
    EXPECT_EQ(at("f0"), "fix-2");
    EXPECT_EQ(at("f1"), "fix-2");
    EXPECT_EQ(at("f3"), "original");
    for (const char* function : {"f0", "f1", "f3"}) EXPECT_FALSE(is_measured(function)) << function;
}

TEST_F(PatchMeasuring, ACommitThatCannotWriteACallSiteIsRefusedAndProbationGoesOn) {
    load_fully(make("old", {"f0", "f1"}));
    start_canary(make_in_set("fix", "old", {"f0"}), canary(60 * kSecond));
    promote("fix");
    machine.foreign_sites.insert(entry("f1"));  // the no-op's
    EXPECT_FALSE(registry->commit("fix").has_value());
    machine.advance(61 * kSecond);
    registry->tick();
    EXPECT_TRUE(is_measured("f0") && is_measured("f1"));
    machine.foreign_sites.clear();
    machine.advance(2 * kSecond);
    registry->tick();
    EXPECT_FALSE(is_measured("f0") || is_measured("f1"));
    EXPECT_FALSE(registry->commit("fix").has_value());  // it is over
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_EQ(at("f1"), "original");
}

TEST_F(PatchMeasuring, OfANoOpEndsWithAnUnloadAndStaysWhenThatIsReversed) {
    load_fully(make("old", {"f0", "f1", "f2"}));
    start_canary(make_in_set("fix", "old", {"f1"}), canary(60 * kSecond));
    promote("fix");
    ASSERT_TRUE(registry->unregister("fix").has_value());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(is_measured("f0") && is_measured("f1") && is_measured("f2"));
    unload_fully("fix");
    EXPECT_FALSE(is_measured("f0") || is_measured("f1") || is_measured("f2"));
    for (const char* function : {"f0", "f1", "f2"}) EXPECT_EQ(at(function), "original");
}

TEST_F(PatchMeasuring, EndsWithARollbackAndStaysWhenThatIsReversed) {
    load_fully(make("fix", {"f0"}));
    start_canary(make_in_set("fix-2", "fix", {"f0", "f1"}), canary(60 * kSecond));
    promote("fix-2");
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    EXPECT_TRUE(is_measured("f0"));
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(is_measured("f0") && is_measured("f1"));
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_EQ(at("f1"), "original");
    EXPECT_FALSE(is_measured("f0") || is_measured("f1"));
}

TEST_F(PatchMeasuring, LeavesNothingWhenTheLoadFailsAnywhere) {
    auto file = make("fix", {"f0", "f1"});
    auto before = machine.ledger();
    for (u64 n = 1;; ++n) {
        machine.fail_after(n);
        bool loaded = load(file, {}, canary()).has_value();
        if (machine.failure_pending()) {
            machine.fail_after(0);
            ASSERT_TRUE(loaded);
            return;
        }
        ASSERT_FALSE(loaded) << n;
        ASSERT_EQ(machine.ledger(), before) << n;
    }
}

TEST_F(PatchMeasuring, ARuleTakesACanaryBack) {
    start_canary(make("fix", {"f0"}), with_rule(canary(), "p99>2x"));
    count(1000, 100, 1000, 200);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::appearing);
    count(1000, 100, 1000, 201);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(names().empty());
}

TEST_F(PatchMeasuring, ARuleWaitsForAThousandCallsOfEach) {
    start_canary(make("fix", {"f0"}), with_rule(canary(), "p99>2x"));
    count(999, 100, 5000, 900);
    let_look();
    count(5000, 100, 999, 900);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::appearing);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    ASSERT_EQ(registry->complete(), Completion::done);
}

TEST_F(PatchMeasuring, ARuleRollsBackOnProbationAndIsSilentAfterCommit) {
    start_canary(make("fix", {"f0"}), with_rule(canary(60 * kSecond), "p99>2x"));
    promote("fix");
    count(1000, 100, 1000, 100);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::enabled);
    count(1000, 100, 1000, 300);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(names().empty());

    start_canary(make("other", {"f0"}), with_rule(canary(60 * kSecond), "p99>2x"));
    count(1000, 100, 1000, 100);
    promote("other");
    ASSERT_TRUE(registry->commit("other").has_value());
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
}

// What the newcomer doesn't replace goes back to the original, which may be the slow one.
TEST_F(PatchMeasuring, ARuleIsForFunctionsToTheOriginalToo) {
    load_fully(make("old", {"f0", "f1"}));
    start_canary(make_in_set("fix", "old", {"f1"}), with_rule(canary(), "p99>2x"));
    count(1000, 100, 1000, 300);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
}

TEST_F(PatchMeasuring, ARuleIsSilentOnTheWayBackAndWhenARollbackIsDue) {
    start_canary(make("fix", {"f0"}), with_rule(canary(60 * kSecond), "p99>2x"));
    machine.unmoved = {7};
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_NE(machine.alarm_ns, kNoAlarm);
    machine.unmoved.clear();
    promote("fix");
    machine.unmoved = {7};
    start(make("other", {"f5"}));
    ASSERT_TRUE(registry->withdraw("fix", "simulated"));
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    count(1000, 100, 1000, 300);
    registry->tick();
    EXPECT_EQ(events().find("withdrawn fix"), events().rfind("withdrawn fix")) << "withdrawn twice";
}

TEST_F(PatchMeasuring, TheReasonHasTheFigures) {
    start_canary(make("fix", {"f0"}), with_rule(with_rule(canary(), "faults>1"), "p99>1.5x"));
    count(1000, 12'340, 1000, 99'990);
    let_look();
    EXPECT_EQ(reason_of(HistoryEvent::aborted), "f0 took 99.9 us, before 12.3 us (p99; rule p99>1.5x)");
    ASSERT_EQ(registry->complete(), Completion::done);
    start_canary(make("other", {"f0"}), with_rule(with_rule(canary(), "p99>1.5x"), "faults>1"));
    count(1000, 100, 1000, 100, 2);
    let_look();
    EXPECT_EQ(reason_of(HistoryEvent::aborted), "2 faults (rule faults>1)");
}

TEST_F(PatchMeasuring, FaultsAreCountedByTheirRule) {
    start_canary(make("fix", {"f0"}), with_rule(canary(), "faults>1"));
    count(0, 0, 10, 100, 1);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::appearing);
    count(0, 0, 10, 100, 2);
    let_look();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    ASSERT_EQ(registry->complete(), Completion::done);
}

}  // namespace
}  // namespace graft::patch
