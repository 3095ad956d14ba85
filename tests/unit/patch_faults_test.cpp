// Contained faults: for which code the machine contains them, and what becomes of the patch.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

class PatchFaults : public PatchRegistryTest {
protected:
    VirtAddr code_of(std::string_view name) { return view(name).text.begin; }
    bool is_watched(std::string_view name) { return machine.is_watched(code_of(name)); }
    FaultAnswer fault_at(VirtAddr code) {
        return registry->report_fault({.code = code,
                                       .task = 12,
                                       .task_name = "till",
                                       .kind = "page fault, read of 0x0",
                                       .place = code + 3,
                                       .function = "f0+0x3 [fix]"});
    }
    FaultAnswer fault_in(std::string_view name) { return fault_at(code_of(name)); }
    Bytes with_callbacks(const std::string& name) {
        sim::PatchBuilder builder(image, name);
        builder.set = name;
        builder.replace("f0");
        add_callbacks(builder, builder.add_state(7, 1));
        return builder.build();
    }
};

TEST_F(PatchFaults, AreContainedWhileALoadRunsAndNotAfterwards) {
    start(make("fix", {"f0"}));
    EXPECT_TRUE(is_watched("fix"));
    complete();
    EXPECT_FALSE(is_watched("fix"));
    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_TRUE(is_watched("fix"));
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_TRUE(is_watched("fix"));
    complete();
    EXPECT_FALSE(is_watched("fix"));
}

TEST_F(PatchFaults, AreContainedOnProbationUntilItEnds) {
    load_fully(make("fix", {"f0"}));
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    EXPECT_FALSE(is_watched("fix"));  // old code
    VirtAddr old_code = code_of("fix");
    complete();
    EXPECT_TRUE(is_watched("fix-2"));
    EXPECT_FALSE(machine.is_watched(old_code));
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_TRUE(is_watched("fix-2"));
    ASSERT_TRUE(registry->commit("fix-2").has_value());
    EXPECT_FALSE(is_watched("fix-2"));
}

TEST_F(PatchFaults, AReversedRollbackLeavesItWatched) {
    load_fully(make("fix", {"f0"}));
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    EXPECT_FALSE(is_watched("fix"));
    EXPECT_TRUE(is_watched("fix-2"));
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_TRUE(is_watched("fix-2"));
}

TEST_F(PatchFaults, ReverseARunningLoad) {
    machine.unmoved = {1};
    start(make("fix", {"f0"}));
    EXPECT_EQ(fault_in("fix"), FaultAnswer::reversed);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    EXPECT_EQ(fault_in("fix"), FaultAnswer::leaves);  // another task's
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    EXPECT_EQ(registry->contained_faults("fix"), 2u);
    EXPECT_EQ(view("fix").faults, 2u);
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(at("f0"), "original");
    EXPECT_EQ(events(), "load-started fix\nfault fix\nwithdrawn fix\nturned fix\nfault fix\nunloaded fix\nfreed fix\n");
    EXPECT_EQ(registry->contained_faults("fix"), 0u);
}

TEST_F(PatchFaults, LetAnUnloadGoOnAndTurnOneThatWasReversed) {
    load_fully(make("fix", {"f0"}));
    machine.unmoved = {1};
    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_EQ(fault_in("fix"), FaultAnswer::leaves);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(fault_in("fix"), FaultAnswer::reversed);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
}

TEST_F(PatchFaults, RollBackWhatIsOnProbation) {
    load_fully(make("fix", {"f0"}));
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    EXPECT_EQ(fault_in("fix-2"), FaultAnswer::rolled_back);
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    EXPECT_EQ(fault_in("fix-2"), FaultAnswer::leaves);
    complete();
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchFaults, WaitForAnotherSetsTransition) {
    start(make("fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    machine.unmoved = {1};
    start(make("other", {"f5"}));
    EXPECT_EQ(fault_in("fix"), FaultAnswer::rolled_back);
    EXPECT_EQ(fault_in("fix"), FaultAnswer::leaves);
    EXPECT_EQ(stage("fix"), Stage::enabled);
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
}

// What was watched a moment ago may fault when it is out of force.
TEST_F(PatchFaults, OfADormantAndOfALingeringPatchAreCountedAndChangeNothing) {
    load_fully(make("fix", {"f0"}));
    VirtAddr old_code = code_of("fix");
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    EXPECT_EQ(fault_at(old_code), FaultAnswer::leaves);
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    VirtAddr new_code = code_of("fix-2");
    point_into("fix-2");
    unload_fully("fix-2");
    EXPECT_EQ(fault_at(new_code), FaultAnswer::leaves);
    machine.references.clear();
    EXPECT_NE(events().find("fault fix\n"), std::string::npos);
    EXPECT_NE(events().find("fault fix-2\n"), std::string::npos);
}

TEST_F(PatchFaults, ThatWaitForAnotherTransitionNeedNoAlarm) {
    start(make("fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    machine.unmoved = {1};
    start(make("other", {"f5"}));
    EXPECT_NE(machine.alarm_ns, kNoAlarm);
    EXPECT_EQ(fault_in("fix"), FaultAnswer::rolled_back);
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);  // its time doesn't end it any more
}

// Faults that came while it was on its way out count when it is a canary again.
TEST_F(PatchFaults, OfACanaryThatIsTurnedTwiceBreakItsRule) {
    LoadOptions options;
    options.canary.kind = CanaryPolicy::Kind::births;
    ASSERT_TRUE(options.health.add({HealthRule::Kind::faults, 1}));
    machine.unmoved = {1};
    start(make("fix", {"f0"}), options);
    EXPECT_EQ(fault_in("fix"), FaultAnswer::reversed);
    EXPECT_EQ(fault_in("fix"), FaultAnswer::leaves);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(stage("fix"), Stage::appearing);
    let_pass(kHealthPeriodNs);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
}

TEST_F(PatchFaults, OfASettledPatchChangeNothing) {
    load_fully(make("fix", {"f0"}));
    EXPECT_EQ(fault_in("fix"), FaultAnswer::stays);  // it came when the transition had just ended
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_EQ(fault_at(image.range().begin), FaultAnswer::stays);
    EXPECT_EQ(registry->contained_faults("fix"), 1u);
}

TEST_F(PatchFaults, AreRecordedWithTaskPlaceAndConsequence) {
    machine.unmoved = {1};
    start(make("fix", {"f0"}));
    (void)fault_in("fix");
    std::array<HistoryRecord, 8> records;
    u64 last = 0;
    usize count = registry->read_history(1, records, last);
    ASSERT_GE(count, 2u);
    Text<512> line;
    render(records[1], line);
    std::string text(line.view());
    EXPECT_NE(text.find("\tfault\tfix\t"), std::string::npos) << text;
    EXPECT_NE(text.find("task=12\tname=till\tkind=page fault, read of 0x0\taddress=0x"), std::string::npos) << text;
    EXPECT_NE(text.find("\tfunction=f0+0x3 [fix]\tthen=reversed"), std::string::npos) << text;
}

TEST_F(PatchFaults, InCallbacksAreContainedFromTheirBeginning) {
    machine.hold_callbacks = true;
    start(with_callbacks("fix"));
    ASSERT_TRUE(machine.callback_runs());
    EXPECT_TRUE(is_watched("fix"));
    EXPECT_EQ(fault_in("fix"), FaultAnswer::leaves);  // it isn't in force yet: the callback's end decides
    machine.end_callback({.faulted = true});
    machine.hold_callbacks = false;
    (void)registry->complete();
    EXPECT_EQ(names(), std::vector<std::string>{});
    EXPECT_EQ(at("f0"), "original");
}

TEST_F(PatchFaults, InPostPatchRollBackWhatIsGoingToBeOnProbation) {
    machine.hold_callbacks = true;
    start(with_callbacks("fix"), {.probation_ns = kSecond});
    machine.end_callback({});  // pre_patch
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    ASSERT_TRUE(machine.callback_runs());
    EXPECT_EQ(fault_in("fix"), FaultAnswer::rolled_back);
    machine.hold_callbacks = false;
    machine.end_callback({.faulted = true});
    (void)registry->complete();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    complete();
    EXPECT_EQ(at("f0"), "original");
}

class PatchFaultsAfterAReversedUnload : public PatchFaults {
protected:
    // All tasks have moved back to the patch, and its post_patch runs.
    void come_to_post_patch_of_a_reversed_unload() {
        machine.unmoved = {1};
        ASSERT_TRUE(registry->unregister("fix").has_value());
        ASSERT_TRUE(registry->reverse("fix").has_value());
        machine.unmoved.clear();
        machine.hold_callbacks = true;
        EXPECT_EQ(registry->complete(), Completion::not_yet);
        ASSERT_TRUE(machine.callback_runs());
    }
};

// The unload of a patch that was on probation once is reversed: there is no way back any more.
TEST_F(PatchFaultsAfterAReversedUnload, InPostPatchAfterACommitChangeNothing) {
    start(with_callbacks("fix"), {.probation_ns = kSecond});
    complete();
    ASSERT_TRUE(registry->commit("fix").has_value());
    come_to_post_patch_of_a_reversed_unload();
    EXPECT_EQ(fault_in("fix"), FaultAnswer::stays);
    machine.hold_callbacks = false;
    machine.end_callback({.faulted = true});
    complete();
    EXPECT_EQ(stage("fix"), Stage::enabled);
}

// It is still on probation.
TEST_F(PatchFaultsAfterAReversedUnload, InPostPatchRollBackWhatIsOnProbation) {
    start(with_callbacks("fix"), {.probation_ns = kSecond});
    complete();
    come_to_post_patch_of_a_reversed_unload();
    EXPECT_EQ(fault_in("fix"), FaultAnswer::rolled_back);
    machine.hold_callbacks = false;
    machine.end_callback({.faulted = true});
    (void)registry->complete();
    EXPECT_EQ(stage("fix"), Stage::disappearing);
}

TEST_F(PatchFaults, InPostPatchOfWhatHasNoWayBackChangeNothing) {
    machine.hold_callbacks = true;
    start(with_callbacks("fix"));
    machine.end_callback({});
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    ASSERT_TRUE(machine.callback_runs());
    EXPECT_EQ(fault_in("fix"), FaultAnswer::stays);
    machine.hold_callbacks = false;
    machine.end_callback({.faulted = true});
    complete();
    EXPECT_EQ(stage("fix"), Stage::enabled);
}

// What the destructor wasn't called for is freed without it.
TEST_F(PatchFaults, InADestructorLeaveNoShadowVariables) {
    load_fully(with_callbacks("fix"));
    machine.shadow_variables[7] = 3;
    ASSERT_TRUE(registry->unregister("fix").has_value());
    machine.hold_callbacks = true;
    (void)registry->complete();  // post_unpatch
    machine.end_callback({});
    (void)registry->complete();
    ASSERT_TRUE(machine.callback_runs());
    machine.end_callback({.faulted = true});
    EXPECT_EQ(machine.count_shadow(7), 2u);
    (void)registry->complete();
    ASSERT_TRUE(machine.callback_runs());
    machine.end_callback({});
    EXPECT_EQ(machine.count_shadow(7), 0u);
    complete();
    EXPECT_EQ(names(), std::vector<std::string>{});
}

}  // namespace
}  // namespace graft::patch
