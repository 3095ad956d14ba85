// States: which callbacks run when, who holds a state, what is refused, and what becomes of shadow variables.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

using formats::KlpCallback;
using Lines = std::vector<std::string>;

struct Declared {
    u64 id = 7;
    u32 version = 1;
    bool irreversible = false;
    bool bare = false;  // without callbacks
};

class PatchStates : public PatchRegistryTest {
protected:
    Bytes stateful(const std::string& name, const std::string& set, Names replaced, std::vector<Declared> states) {
        sim::PatchBuilder builder(image, name);
        builder.set = set;
        builder.add_function("helper");
        for (auto* function : replaced) builder.replace(function);
        for (const Declared& declared : states) {
            formats::KlpState& state = builder.add_state(declared.id, declared.version);
            state.flags = declared.irreversible ? formats::kKlpStateIrreversible : 0;
            if (!declared.bare) add_callbacks(builder, state);
        }
        return builder.build();
    }
    Bytes fix(std::vector<Declared> states = {{}}) { return stateful("fix", "fix", {"f0"}, states); }
    Bytes fix2(std::vector<Declared> states) { return stateful("fix-2", "fix", {"f1"}, states); }

    // What has been called since the last time.
    Lines called() { return std::exchange(machine.callbacks, {}); }
    // "id version owner stage" of each state that the patch names.
    Lines states(std::string_view patch) {
        struct Visitor final : StateVisitor {
            void state(const StateView& view) override {
                lines.push_back(std::to_string(view.id) + " " + std::to_string(view.version) + " " +
                                std::string(view.owner) + " " + std::string(view.stage));
            }
            Lines lines;
        } visitor;
        EXPECT_TRUE(registry->visit_states(patch, visitor)) << patch;
        return visitor.lines;
    }
    bool was_logged(std::string_view text) {
        for (auto& line : machine.log_lines)
            if (line.find(text) != std::string::npos) return true;
        return false;
    }
};

// ---- pairs ----------------------------------------------------------------------------------------------------------

TEST_F(PatchStates, CallbacksRunInPairs) {
    load_fully(fix());
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix post_patch_7"}));
    EXPECT_EQ(states("fix"), Lines{"7 1 fix present"});
    unload_fully("fix");
    EXPECT_EQ(called(), (Lines{"fix pre_unpatch_7", "fix post_unpatch_7"}));
}

TEST_F(PatchStates, AStateWithoutCallbacksIsHeldAllTheSame) {
    load_fully(fix({{.bare = true}}));
    EXPECT_EQ(states("fix"), Lines{"7 1 fix present"});
    unload_fully("fix");
    EXPECT_EQ(called(), Lines{});
}

TEST_F(PatchStates, PrePatchComesBeforeTheFirstCallSiteAndPostPatchAfterTheLastTask) {
    machine.unmoved = {1};
    machine.hold_callbacks = true;
    start(fix());
    EXPECT_TRUE(machine.ledger().sites.empty());
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    EXPECT_FALSE(machine.ledger().sites.empty());
    EXPECT_EQ(called(), Lines{"fix pre_patch_7"});
    machine.unmoved.clear();
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    EXPECT_EQ(called(), Lines{"fix post_patch_7"});
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::done);
}

TEST_F(PatchStates, WhatIsMadeLastIsUndoneFirst) {
    load_fully(fix({{.id = 7}, {.id = 8}}));
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix pre_patch_8", "fix post_patch_7", "fix post_patch_8"}));
    unload_fully("fix");
    EXPECT_EQ(called(), (Lines{"fix pre_unpatch_7", "fix pre_unpatch_8", "fix post_unpatch_8", "fix post_unpatch_7"}));
}

TEST_F(PatchStates, AReversedLoadIsUndone) {
    machine.unmoved = {1};
    start(fix());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix post_unpatch_7"}));
}

TEST_F(PatchStates, AReversedUnloadIsThereAgain) {
    load_fully(fix());
    called();
    machine.unmoved = {1};
    ASSERT_TRUE(registry->unregister("fix").has_value());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(called(), (Lines{"fix pre_unpatch_7", "fix post_patch_7"}));
    EXPECT_EQ(states("fix"), Lines{"7 1 fix present"});
}

TEST_F(PatchStates, ReversedAgainAndAgainEndsWhereItEnds) {
    machine.unmoved = {1};
    start(fix());
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(registry->reverse("fix").has_value());
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix post_patch_7"}));
}

TEST_F(PatchStates, APatchMayHaveStatesOnly) {
    load_fully(stateful("fix", "fix", {}, {{}}));
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix post_patch_7"}));
    unload_fully("fix");
}

// ---- refusal in pre_patch -------------------------------------------------------------------------------------------

TEST_F(PatchStates, WhoRefusesGetsNoPostUnpatch) {
    load_fully(make("other", {"f5"}));
    auto before = machine.ledger();
    machine.refusing_callbacks = {"fix pre_patch_8"};
    auto refused = load(fix({{.id = 7}, {.id = 8}, {.id = 9}}));
    EXPECT_EQ(code(refused), RefusalCode::pre_patch_refused);
    EXPECT_EQ(refused.error().subject.view(), "state-8");
    EXPECT_EQ(refused.error().other.view(), "fix");
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix pre_patch_8", "fix post_unpatch_7"}));
    EXPECT_EQ(names(), Lines{"other"});
    EXPECT_EQ(machine.ledger(), before);
}

TEST_F(PatchStates, ARefusedReplaceLeavesTheOldSet) {
    load_fully(fix());
    called();
    machine.refusing_callbacks = {"fix-2 pre_patch_8"};
    EXPECT_EQ(code(load(fix2({{.id = 8}}))), RefusalCode::pre_patch_refused);
    // The old set's state was to go: it hasn't been touched yet.
    EXPECT_EQ(called(), Lines{"fix-2 pre_patch_8"});
    EXPECT_EQ(states("fix"), Lines{"7 1 fix present"});
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchStates, AFaultInPrePatchRefuses) {
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->load(fix({{.id = 7}, {.id = 8}}), {}, {}, &ticket).has_value());
    machine.end_callback();
    (void)registry->complete();
    machine.end_callback({.faulted = true});
    (void)registry->complete();
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix pre_patch_8", "fix post_unpatch_7"}));
    machine.end_callback();
    (void)registry->complete();
    auto outcome = registry->outcome(ticket);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(code(*outcome), RefusalCode::pre_patch_faulted);
    EXPECT_EQ(names(), Lines{});
}

TEST_F(PatchStates, WhatCantBeginIsUndone) {
    load_fully(fix());
    called();
    machine.foreign_sites.insert(entry("f1"));
    EXPECT_EQ(code(load(fix2({{.id = 8}}))), RefusalCode::site_mismatch);
    EXPECT_EQ(called(), (Lines{"fix-2 pre_patch_8", "fix pre_unpatch_7", "fix-2 post_unpatch_8", "fix post_patch_7"}));
    EXPECT_EQ(states("fix"), Lines{"7 1 fix present"});
    machine.foreign_sites.clear();
}

// ---- taking over ----------------------------------------------------------------------------------------------------

TEST_F(PatchStates, ASuccessorTakesOverWithoutACall) {
    load_fully(fix());
    called();
    machine.unmoved = {1};
    start(fix2({{.version = 2}}));
    EXPECT_EQ(states("fix-2"), Lines{"7 2 fix absent"});
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(states("fix-2"), Lines{"7 2 fix-2 present"});
    EXPECT_EQ(called(), Lines{});
    unload_fully("fix-2");
    EXPECT_EQ(called(), (Lines{"fix-2 pre_unpatch_7", "fix-2 post_unpatch_7"}));
}

TEST_F(PatchStates, AReversedReplaceLeavesTheHolder) {
    load_fully(fix({{.id = 7}, {.id = 9}}));
    called();
    machine.unmoved = {1};
    start(fix2({{.id = 7}, {.id = 8}}));
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(called(), (Lines{"fix-2 pre_patch_8", "fix pre_unpatch_9", "fix-2 post_unpatch_8", "fix post_patch_9"}));
    EXPECT_EQ(states("fix"), (Lines{"7 1 fix present", "9 1 fix present"}));
}

TEST_F(PatchStates, ASuccessorUndoesWhatItDoesNotName) {
    load_fully(fix({{.id = 7}, {.id = 9}}));
    called();
    load_fully(fix2({{.id = 7}, {.id = 8}}));
    EXPECT_EQ(called(), (Lines{"fix-2 pre_patch_8", "fix pre_unpatch_9", "fix post_unpatch_9", "fix-2 post_patch_8"}));
    EXPECT_EQ(states("fix-2"), (Lines{"7 1 fix-2 present", "8 1 fix-2 present"}));
}

TEST_F(PatchStates, AnOlderVersionIsRefused) {
    load_fully(fix({{.version = 5}}));
    auto refused = load(fix2({{.version = 4}}));
    EXPECT_EQ(code(refused), RefusalCode::older_state);
    EXPECT_EQ(refused.error().found, 4u);
    EXPECT_EQ(refused.error().expected, 5u);
    load_fully(fix2({{.version = 5}}));
}

TEST_F(PatchStates, AStateOfAnotherSetIsRefused) {
    load_fully(fix());
    auto refused = load(stateful("other", "other", {"f5"}, {{.version = 2}}));
    EXPECT_EQ(code(refused), RefusalCode::state_taken);
    EXPECT_EQ(refused.error().subject.view(), "state-7");
    EXPECT_EQ(refused.error().other.view(), "fix");
    // Also one that only the dormant predecessor has.
    start(fix2({}), {.probation_ns = 60 * kSecond});
    complete();
    EXPECT_EQ(code(load(stateful("other", "other", {"f5"}, {{}}))), RefusalCode::state_taken);
    ASSERT_TRUE(registry->commit("fix-2").has_value());
    load_fully(stateful("other", "other", {"f5"}, {{}}));
}

TEST_F(PatchStates, APlanSaysWhatStatesAreInTheWay) {
    struct Sink final : PlanSink {
        void patch(const PatchView&) override {}
        void function(const FunctionView&) override {}
        void state(const StateView& view) override { states += std::to_string(view.id) + " "; }
        void holder(u64, Verdict::Kind) override {}
        void refusal(const Refusal& refusal) override { codes.push_back(refusal.code); }
        std::string states;
        std::vector<RefusalCode> codes;
    } sink;
    load_fully(fix());
    registry->plan(stateful("other", "other", {"f5"}, {{}, {.id = 8}}), {}, {}, sink);
    EXPECT_EQ(sink.states, "7 8 ");
    EXPECT_EQ(sink.codes, std::vector<RefusalCode>{RefusalCode::state_taken});
}

// ---- irreversible ---------------------------------------------------------------------------------------------------

TEST_F(PatchStates, AnIrreversibleStateCantBeUndone) {
    load_fully(fix({{.irreversible = true}}));
    auto refused = registry->unregister("fix");
    EXPECT_EQ(code(refused), RefusalCode::irreversible_state);
    EXPECT_EQ(refused.error().subject.view(), "state-7");
    EXPECT_EQ(code(load(fix2({{.id = 8}}))), RefusalCode::irreversible_state);
    called();
    // Who takes it over may; and once irreversible is irreversible.
    load_fully(fix2({{.version = 2}}));
    EXPECT_EQ(called(), Lines{});
    EXPECT_EQ(code(registry->unregister("fix-2")), RefusalCode::irreversible_state);
    EXPECT_EQ(code(load(stateful("fix-3", "fix", {"f2"}, {}))), RefusalCode::irreversible_state);
    switch_off();
}

TEST_F(PatchStates, WhatMightHaveToUndoAnIrreversibleStateIsRefused) {
    LoadOptions probation{.probation_ns = 60 * kSecond};
    EXPECT_EQ(code(load(fix({{.irreversible = true}}), {}, probation)), RefusalCode::irreversible_state);
    load_fully(fix({{.version = 1}}));
    EXPECT_EQ(code(load(fix2({{}, {.id = 8, .irreversible = true}}), {}, probation)), RefusalCode::irreversible_state);
    // Going back would hand this one back, not undo it.
    start(fix2({{.irreversible = true}}), probation);
    complete();
    EXPECT_EQ(code(registry->unregister("fix-2")), RefusalCode::irreversible_state);
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    complete();
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::irreversible_state);
    switch_off();
}

// ---- waiting for callbacks ------------------------------------------------------------------------------------------

TEST_F(PatchStates, ALoadIsUndecidedWhileItsCallbacksRun) {
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->load(fix(), {}, {}, &ticket).has_value());
    ASSERT_NE(ticket, 0u);
    EXPECT_FALSE(registry->outcome(ticket).has_value());
    EXPECT_EQ(stage("fix"), Stage::loading);
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    auto refused = load(make("other", {"f5"}));
    EXPECT_EQ(code(refused), RefusalCode::callback_running);
    EXPECT_EQ(refused.error().other.view(), "fix: pre_patch of state state-7");
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::not_yet);  // its post_patch runs
    auto outcome = registry->outcome(ticket);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_TRUE(outcome->has_value());
    EXPECT_EQ(stage("fix"), Stage::appearing);
    EXPECT_EQ(events(), "refused \nload-started fix\n");
    EXPECT_EQ(code(registry->reverse("fix")), RefusalCode::callback_running);
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::callback_running);
    EXPECT_EQ(code(registry->force("fix")), RefusalCode::callback_running);
    EXPECT_FALSE(registry->withdraw("fix", "a fault"));
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(events(), "refused \nload-started fix\nloaded fix\n");
}

TEST_F(PatchStates, ALateRefusalIsTheOutcome) {
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->load(fix(), {}, {}, &ticket).has_value());
    machine.end_callback({.value = -5});
    (void)registry->complete();
    auto outcome = registry->outcome(ticket);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(code(*outcome), RefusalCode::pre_patch_refused);
    EXPECT_EQ(static_cast<i64>(outcome->error().found), -5);
    EXPECT_EQ(names(), Lines{});
    EXPECT_EQ(events(), "freed fix\nrefused fix\n");
}

TEST_F(PatchStates, AnUnloadWaitsForPreUnpatch) {
    load_fully(fix());
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->unregister("fix", 0, &ticket).has_value());
    ASSERT_NE(ticket, 0u);
    EXPECT_FALSE(registry->outcome(ticket).has_value());
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    ASSERT_TRUE(registry->outcome(ticket).has_value());
    EXPECT_EQ(names(), Lines{"fix"}) << "it goes when its last callback has returned";
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(names(), Lines{});
}

TEST_F(PatchStates, AWaitingLoadCanBeTakenBack) {
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->load(fix({{.id = 7}, {.id = 8}}), {}, {}, &ticket).has_value());
    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_FALSE(registry->outcome(ticket).has_value()) << "a callback can't be ended";
    machine.end_callback();
    (void)registry->complete();
    machine.end_callback();
    (void)registry->complete();
    EXPECT_EQ(called(), (Lines{"fix pre_patch_7", "fix post_unpatch_7"}));
    auto outcome = registry->outcome(ticket);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(code(*outcome), RefusalCode::cancelled);
}

TEST_F(PatchStates, AWaitingUnloadCanBeTakenBack) {
    load_fully(fix());
    called();
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->unregister("fix").has_value());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    machine.end_callback();
    (void)registry->complete();
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(called(), (Lines{"fix pre_unpatch_7", "fix post_patch_7"}));
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchStates, ACallbackPastItsTimeIsNamedAndGoesOn) {
    machine.hold_callbacks = true;
    start(fix());
    let_pass(4 * kSecond);
    ASSERT_TRUE(registry->callback().has_value());
    EXPECT_FALSE(registry->callback()->overdue);
    EXPECT_FALSE(was_logged("past its time"));
    let_pass(2 * kSecond);
    auto callback = registry->callback();
    ASSERT_TRUE(callback.has_value());
    EXPECT_TRUE(callback->overdue);
    EXPECT_EQ(callback->patch.view(), "fix");
    EXPECT_EQ(callback->state.view(), "state-7");
    EXPECT_EQ(callback->callback, "pre_patch");
    EXPECT_TRUE(was_logged("fix: pre_patch of state state-7 is past its time of 5000 ms"));
    EXPECT_EQ(code(load(make("other", {"f5"}))), RefusalCode::callback_running);
    machine.hold_callbacks = false;
    machine.end_callback();
    complete();
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_FALSE(registry->callback().has_value());
}

TEST_F(PatchStates, WhatCantBeginIsRefusedWhenItIsUndone) {
    // No pre_patch, so nothing is waited for before; but something must run after.
    sim::PatchBuilder builder(image, "fix");
    builder.replace("f0");
    builder.add_callback(builder.add_state(7), KlpCallback::post_unpatch);
    machine.foreign_sites.insert(entry("f0"));
    machine.hold_callbacks = true;
    u64 ticket = 0;
    ASSERT_TRUE(registry->load(builder.build(), {}, {}, &ticket).has_value());
    ASSERT_NE(ticket, 0u);
    EXPECT_FALSE(registry->outcome(ticket).has_value());
    machine.end_callback();
    (void)registry->complete();
    auto outcome = registry->outcome(ticket);
    ASSERT_TRUE(outcome.has_value());
    EXPECT_EQ(code(*outcome), RefusalCode::site_mismatch);
    machine.foreign_sites.clear();
}

TEST_F(PatchStates, ARefusedRollbackOfItsOwnAccordIsTold) {
    load_fully(fix());
    start(fix2({}), {.probation_ns = 60 * kSecond});
    complete();
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->withdraw("fix-2", "a fault"));
    machine.end_callback({.value = -1});
    (void)registry->complete();
    EXPECT_NE(events().find("stuck fix-2"), std::string::npos) << events();
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
}

// ---- probation ------------------------------------------------------------------------------------------------------

TEST_F(PatchStates, ARollbackRunsCallbacksAsAtFirst) {
    load_fully(fix({{.id = 7}, {.id = 9}}));
    called();
    start(fix2({{.id = 7, .version = 3}, {.id = 8}}), {.probation_ns = 60 * kSecond});
    complete();
    called();
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    complete();
    EXPECT_EQ(called(), (Lines{"fix pre_patch_9", "fix-2 pre_unpatch_8", "fix-2 post_unpatch_8", "fix post_patch_9"}));
    EXPECT_EQ(states("fix"), (Lines{"7 1 fix present", "9 1 fix present"}));
}

TEST_F(PatchStates, ARefusedRollbackLeavesTheSuccessor) {
    load_fully(fix());
    start(fix2({}), {.probation_ns = 60 * kSecond});
    complete();
    machine.shadow_variables[7] = 2;
    machine.refusing_callbacks = {"fix pre_patch_7"};
    EXPECT_EQ(code(registry->rollback("fix-2")), RefusalCode::pre_patch_refused);
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    EXPECT_EQ(machine.count_shadow(7), 2u);
    machine.refusing_callbacks.clear();
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    complete();
    EXPECT_EQ(names(), Lines{"fix"});
}

// ---- shadow variables -----------------------------------------------------------------------------------------------

TEST_F(PatchStates, WhatIsLeftIsFreedAndCounted) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    called();
    unload_fully("fix");
    EXPECT_EQ(called(), (Lines{"fix pre_unpatch_7", "fix post_unpatch_7", "shadow 7"}));
    EXPECT_TRUE(was_logged("fix: destroy of state state-7: 3 shadow variables were left and have been freed"));
    EXPECT_EQ(machine.count_shadow(7), 0u);
}

TEST_F(PatchStates, WhatARefusedLoadAttachedIsFreed) {
    machine.shadow_variables[7] = 1;
    machine.refusing_callbacks = {"fix pre_patch_7"};
    EXPECT_EQ(code(load(fix())), RefusalCode::pre_patch_refused);
    EXPECT_EQ(machine.count_shadow(7), 0u);
}

TEST_F(PatchStates, ATakenOverStateKeepsItsVariables) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    load_fully(fix2({{}}));
    EXPECT_EQ(machine.count_shadow(7), 3u);
    unload_fully("fix-2");
    EXPECT_EQ(machine.count_shadow(7), 0u);
}

TEST_F(PatchStates, AnUndoneStateKeepsItsVariablesUntilTheCommit) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    start(fix2({}), {.probation_ns = 60 * kSecond});
    complete();
    EXPECT_EQ(machine.count_shadow(7), 3u);
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->commit("fix-2").has_value());
    EXPECT_EQ(code(load(make("other", {"f5"}))), RefusalCode::callback_running);
    EXPECT_EQ(code(load(make("fix", {"f5"}))), RefusalCode::callback_running) << "its code ends them";
    machine.end_callback();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(machine.count_shadow(7), 0u);
    machine.hold_callbacks = false;
    load_fully(make("other", {"f5"}));
    load_fully(make("fix", {"f6"}));
}

TEST_F(PatchStates, TheEndOfProbationEndsThemToo) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    start(fix2({}), {.probation_ns = kSecond});
    complete();
    let_pass(2 * kSecond);
    EXPECT_EQ(machine.count_shadow(7), 0u);
}

TEST_F(PatchStates, ARollbackFindsItsVariablesAgain) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    start(fix2({{.id = 8}}), {.probation_ns = 60 * kSecond});
    complete();
    machine.shadow_variables[8] = 1;
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    complete();
    EXPECT_EQ(machine.count_shadow(7), 3u);
    EXPECT_EQ(machine.count_shadow(8), 0u);
    unload_fully("fix");
    EXPECT_EQ(machine.count_shadow(7), 0u);
}

TEST_F(PatchStates, AnUnloadDuringProbationEndsThePredecessorsToo) {
    load_fully(fix());
    machine.shadow_variables[7] = 3;
    start(fix2({}), {.probation_ns = 60 * kSecond});
    complete();
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    complete();
    EXPECT_EQ(machine.count_shadow(7), 0u);
    EXPECT_EQ(names(), Lines{});
}

}  // namespace
}  // namespace graft::patch
