// Probation, rollback, deadlines and force: the registry's table, cell by cell.
#include "patch/destructors.h"
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

class PatchProbation : public PatchRegistryTest {
protected:
    // "fix" with f0 and f1 and, on probation over it, "fix-2" with f1 and f2.
    void put_on_probation() {
        load_fully(make("fix", {"f0", "f1"}));
        start(make_in_set("fix-2", "fix", {"f1", "f2"}), {.probation_ns = 60 * kSecond});
        complete();
    }
};

TEST_F(PatchProbation, KeepsThePredecessorDormant) {
    put_on_probation();
    EXPECT_EQ(names(), std::vector<std::string>{"fix-2"});
    EXPECT_EQ(view("fix-2").dormant, "fix");
    EXPECT_TRUE(view("fix-2").on_probation);
    EXPECT_NEAR(static_cast<double>(view("fix-2").probation_left_ns), 60.0 * kSecond, 1000.0);
    EXPECT_EQ(at("f0"), "original");
    EXPECT_EQ(at("f1"), "fix-2");
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::unknown_patch);
    EXPECT_EQ(code(load(make("fix", {"f5"}))), RefusalCode::name_taken);
    EXPECT_EQ(code(load(make("other", {"f0"}))), RefusalCode::function_taken);  // the dormant one may need it again
    auto refused = load(make_in_set("fix-3", "fix", {"f0"}));
    EXPECT_EQ(code(refused), RefusalCode::on_probation);
    EXPECT_EQ(refused.error().other.view(), "fix-2");
}

TEST_F(PatchProbation, RollsBackToExactlyTheOldSet) {
    load_fully(make("fix", {"f0", "f1"}, {"f7"}));
    auto before = machine.ledger();
    start(make_in_set("fix-2", "fix", {"f1", "f2"}, {"f8"}), {.probation_ns = kSecond});
    complete();
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    EXPECT_EQ(stage("fix"), Stage::appearing);
    EXPECT_EQ(code(registry->rollback("fix-2")), RefusalCode::transition_running);
    EXPECT_EQ(code(registry->commit("fix-2")), RefusalCode::transition_running);
    EXPECT_EQ(code(registry->unregister("fix-2")), RefusalCode::already_leaving);
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::transition_running);
    complete();
    EXPECT_EQ(names(), std::vector<std::string>{"fix"});
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_FALSE(view("fix").on_probation);
    EXPECT_EQ(machine.ledger(), before);
    EXPECT_EQ(events(),
              "load-started fix\nloaded fix\nload-started fix-2\nloaded fix-2\ndormant fix\n"
              "rollback-started fix-2\nrolled-back fix-2\nfreed fix-2\n");
    load_fully(make_in_set("fix-3", "fix", {"f2"}));
}

TEST_F(PatchProbation, ARollbackCanBeReversed) {
    put_on_probation();
    auto before = machine.ledger();
    for (u32 turns = 1; turns < 4; turns += 2) {
        ASSERT_TRUE(registry->rollback("fix-2").has_value());
        for (u32 i = 0; i < turns; ++i) ASSERT_TRUE(registry->reverse(i % 2 == 0 ? "fix" : "fix-2").has_value());
        complete();
        EXPECT_EQ(names(), std::vector<std::string>{"fix-2"});
        EXPECT_EQ(view("fix-2").dormant, "fix");
        EXPECT_TRUE(view("fix-2").on_probation);
        EXPECT_EQ(machine.ledger(), before);
    }
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    complete();
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchProbation, CommitLetsThePredecessorGo) {
    put_on_probation();
    EXPECT_EQ(code(registry->commit("fix")), RefusalCode::unknown_patch);
    ASSERT_TRUE(registry->commit("fix-2").has_value());
    EXPECT_EQ(view("fix-2").dormant, "");
    EXPECT_EQ(view("fix-2").replaces, "fix");
    EXPECT_FALSE(view("fix-2").on_probation);
    EXPECT_EQ(machine.ledger().registered, 1u);
    EXPECT_EQ(at("f0"), "original");
    EXPECT_EQ(code(registry->commit("fix-2")), RefusalCode::not_on_probation);
    EXPECT_EQ(code(registry->rollback("fix-2")), RefusalCode::not_on_probation);
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    load_fully(make("fix", {"f0"}, {}), "fix-b");
}

TEST_F(PatchProbation, TheEndOfTheTimeCommits) {
    put_on_probation();
    let_pass(59 * kSecond);
    EXPECT_TRUE(view("fix-2").on_probation);
    let_pass(2 * kSecond);
    EXPECT_FALSE(view("fix-2").on_probation);
    EXPECT_EQ(machine.ledger().registered, 1u);
}

TEST_F(PatchProbation, TheTimeDoesNotEndDuringTheWayBack) {
    put_on_probation();
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
    let_pass(61 * kSecond);
    registry->tick();
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_EQ(view("fix-2").dormant, "fix");
    let_pass(1);  // it is over now
    EXPECT_FALSE(view("fix-2").on_probation);
}

TEST_F(PatchProbation, UnregisteringTakesBothToTheOriginal) {
    auto before = machine.ledger();
    put_on_probation();
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_EQ(view("fix-2").dormant, "fix");
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    EXPECT_EQ(code(registry->rollback("fix-2")), RefusalCode::transition_running);
    complete();
    EXPECT_TRUE(names().empty());
    EXPECT_EQ(machine.ledger(), before);
}

TEST_F(PatchProbation, AFirstLoadMayBeOnProbation) {
    auto before = machine.ledger();
    start(make("fix", {"f0"}), {.probation_ns = kSecond});
    EXPECT_EQ(code(registry->rollback("fix")), RefusalCode::not_on_probation);  // not yet
    complete();
    EXPECT_EQ(view("fix").dormant, "");
    EXPECT_EQ(code(load(make_in_set("fix-2", "fix", {"f0"}))), RefusalCode::on_probation);
    ASSERT_TRUE(registry->rollback("fix").has_value());
    complete();
    EXPECT_EQ(machine.ledger(), before);
    start(make("fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    let_pass(2 * kSecond);
    load_fully(make_in_set("fix-2", "fix", {"f0"}));
}

TEST_F(PatchProbation, AReversedLoadBeginsNoProbation) {
    load_fully(make("fix", {"f0"}));
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_FALSE(view("fix").on_probation);
    load_fully(make_in_set("fix-3", "fix", {"f0"}));
}

TEST_F(PatchProbation, RollbackAndUnloadRecoverFromAFailureAtEachPlace) {
    put_on_probation();
    auto before = machine.ledger();
    for (u64 n = 1;; ++n) {
        machine.fail_after(n);
        if (registry->rollback("fix-2")) break;
        ASSERT_EQ(machine.ledger(), before) << "failure " << n;
        ASSERT_EQ(stage("fix-2"), Stage::enabled);
        ASSERT_EQ(names(), std::vector<std::string>{"fix-2"});
    }
    machine.fail_after(0);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    complete();
    for (u64 n = 1;; ++n) {
        machine.fail_after(n);
        if (registry->unregister("fix-2")) break;
        ASSERT_EQ(machine.ledger(), before) << "failure " << n;
    }
    machine.fail_after(0);
    complete();
}

// ---- by itself ------------------------------------------------------------------------------------------------------

TEST_F(PatchProbation, WithdrawingRollsBackOrTurns) {
    EXPECT_FALSE(registry->withdraw("fix", "test"));
    load_fully(make("fix", {"f0"}));
    EXPECT_FALSE(registry->withdraw("fix", "test"));  // nothing to go back to
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    EXPECT_TRUE(registry->withdraw("fix-2", "test"));
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    EXPECT_FALSE(registry->withdraw("fix-2", "test"));
    EXPECT_FALSE(registry->withdraw("fix", "test"));
    complete();
    start(make_in_set("fix-2", "fix", {"f0"}), {.probation_ns = kSecond});
    complete();
    EXPECT_TRUE(registry->withdraw("fix-2", "test"));
    EXPECT_EQ(stage("fix"), Stage::appearing);
    EXPECT_FALSE(registry->withdraw("fix", "test"));  // it is what is gone back to
    complete();
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchProbation, AWithdrawalDuringAnotherTransitionIsTheNextOneBeforeAnyLoad) {
    put_on_probation();
    start(make("other", {"f5"}), {});
    EXPECT_TRUE(registry->withdraw("fix-2", "test"));
    EXPECT_FALSE(registry->withdraw("fix-2", "test"));
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    EXPECT_EQ(code(registry->commit("fix-2")), RefusalCode::rollback_due);
    let_pass(61 * kSecond);  // its time doesn't end it
    EXPECT_EQ(view("fix-2").dormant, "fix");
    complete();
    EXPECT_EQ(stage("other"), Stage::enabled);
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    complete();
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_EQ(at("f5"), "other");
}

TEST_F(PatchProbation, AWithdrawalThatCannotBeginIsTriedAgainAndComesBeforeALoad) {
    put_on_probation();
    machine.fail_after(1);
    EXPECT_TRUE(registry->withdraw("fix-2", "test"));
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    auto refused = load(make("other", {"f5"}));
    EXPECT_EQ(code(refused), RefusalCode::rollback_due);
    EXPECT_EQ(refused.error().other.view(), "fix-2");
    machine.fail_after(1);
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    machine.fail_after(0);
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    complete();
    EXPECT_EQ(at("f0"), "fix");
}

// ---- deadline -------------------------------------------------------------------------------------------------------

TEST_F(PatchProbation, ADeadlineTurnsAndNamesWhoHeld) {
    load_fully(make("fix", {"f0"}));
    machine.unmoved = {7, 9};
    start(make_in_set("fix-2", "fix", {"f0"}), {.deadline_ns = kSecond});
    let_pass(kSecond / 2);
    EXPECT_EQ(stage("fix-2"), Stage::appearing);
    let_pass(kSecond);
    EXPECT_EQ(stage("fix-2"), Stage::disappearing);
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_EQ(events(),
              "load-started fix\nloaded fix\nload-started fix-2\nexpired fix-2\nheld fix-2\nheld fix-2\nturned fix-2\n"
              "unloaded fix-2\nfreed fix-2\n");
}

TEST_F(PatchProbation, ADeadlineSparesWhatHasMovedOrGoesBackAlready) {
    start(make("fix", {"f0"}), {.deadline_ns = kSecond});
    let_pass(2 * kSecond);  // all have moved
    EXPECT_EQ(stage("fix"), Stage::appearing);
    complete();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->unregister("fix", kSecond).has_value());
    ASSERT_TRUE(registry->reverse("fix").has_value());
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix"), Stage::appearing);
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(stage("fix"), Stage::enabled);
}

TEST_F(PatchProbation, UnloadAndRollbackHaveDeadlinesToo) {
    put_on_probation();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->rollback("fix-2", kSecond).has_value());
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix-2"), Stage::appearing);
    machine.unmoved.clear();
    complete();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->unregister("fix-2", kSecond).has_value());
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix-2"), Stage::appearing);
    machine.unmoved.clear();
    complete();
    EXPECT_EQ(view("fix-2").dormant, "fix");
}

TEST_F(PatchProbation, AtMostSoManyHoldersAreNamed) {
    for (u64 task = 1; task <= 3 * kMaxNamedHolders; ++task) machine.unmoved.push_back(task);
    start(make("fix", {"f0"}), {.deadline_ns = kSecond});
    let_pass(2 * kSecond);
    std::string all = events();
    usize held = 0;
    for (usize from = 0; (from = all.find("held fix\n", from)) != std::string::npos; ++from) ++held;
    EXPECT_EQ(held, kMaxNamedHolders);
    machine.unmoved.clear();
    complete();
}

// ---- force ----------------------------------------------------------------------------------------------------------

TEST_F(PatchProbation, ForceMarksExactlyWhoMayRunOn) {
    load_fully(make("fix", {"f0"}));
    EXPECT_EQ(code(registry->force("fix")), RefusalCode::not_in_transition);
    EXPECT_EQ(code(registry->force("nobody")), RefusalCode::unknown_patch);
    EXPECT_EQ(registry->taint().forced, 0u);
    machine.unmoved = {7};
    start(make_in_set("fix-2", "fix", {"f0"}), {});
    point_into("fix");
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    ASSERT_TRUE(registry->force("fix-2").has_value());
    complete();
    EXPECT_FALSE(view("fix-2").forced);
    EXPECT_EQ(registry->taint().forced, 1u);
    EXPECT_EQ(registry->taint().last_forced.view(), "fix-2");
    EXPECT_EQ(machine.ledger().registered, 2u);  // it lingers

    // Whoever is in its text is in a changing function of what comes next.
    struct OneFrame final : Stack {
        explicit OneFrame(VirtAddr pc) : pc_(pc) {}
        bool next(Frame& frame) override {
            frame = {pc_, VirtAddr(8)};
            return !std::exchange(done_, true);
        }
        bool reliable() const override { return done_; }
        VirtAddr pc_;
        bool done_ = false;
    };
    auto kind_at = [&](VirtAddr pc) {
        OneFrame stack(pc);
        return machine.examiner()->examine(stack).kind;
    };
    VirtAddr inside(machine.references[0].word);
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    EXPECT_EQ(kind_at(inside), Verdict::Kind::inside);
    complete();
    start(make("other", {"f0"}), {});
    EXPECT_EQ(kind_at(inside), Verdict::Kind::inside);
    complete();
    start(make("apart", {"f5"}), {});
    EXPECT_EQ(kind_at(inside), Verdict::Kind::clear);
    complete();
    machine.references.clear();
    EXPECT_EQ(registry->retry_lingering(), 1u);
    EXPECT_EQ(registry->taint().forced, 1u);  // for good
}

TEST_F(PatchProbation, TurningAfterForceMarksNobody) {
    load_fully(make("fix", {"f0"}));
    start(make_in_set("fix-2", "fix", {"f0"}), {});
    ASSERT_TRUE(registry->force("fix-2").has_value());
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    complete();
    EXPECT_FALSE(view("fix").forced);
    EXPECT_EQ(registry->taint().forced, 1u);
    EXPECT_EQ(machine.ledger().registered, 1u);
}

TEST_F(PatchProbation, TheForcedOnesDestructorsRunWhenNobodyCanBeInside) {
    sim::PatchBuilder builder(image, "fix");
    u32 replacement = builder.replace("f0");
    u32 atexit = builder.add_undefined("__cxa_atexit");
    u32 handle = builder.add_undefined("__dso_handle");
    u32 destructor = builder.add_function("destructor");
    builder.object.add_relocation(builder.section_of(replacement), 8, elf::kRelocation32S, handle, 0);
    builder.add_call(replacement, 16, atexit);
    load_fully(builder.build());
    (void)destructor;
    const PatchView loaded = view("fix");
    // The table lies at the start of the otherwise empty data.
    u64 argument = 5;
    ASSERT_EQ(graft_patch_atexit(reinterpret_cast<void (*)(void*)>(loaded.text.begin.value + 64),
                                 reinterpret_cast<void*>(argument), loaded.data.begin.as<>()),
              0);
    point_into("fix");
    ASSERT_TRUE(registry->unregister("fix").has_value());
    ASSERT_TRUE(registry->force("fix").has_value());
    complete();
    EXPECT_TRUE(machine.calls.empty());
    machine.references.clear();
    EXPECT_EQ(registry->retry_lingering(), 1u);
    EXPECT_EQ(machine.calls.size(), 1u);
}

// ---- lingering ------------------------------------------------------------------------------------------------------

TEST_F(PatchProbation, TwoThatOnlyPointAtEachOtherGoTogether) {
    auto with_data = [&](const char* name, const char* function) {
        sim::PatchBuilder builder(image, name);
        builder.replace(function);
        builder.object.add_section(".data.x", elf::kSectionProgram, elf::kFlagAlloc | elf::kFlagWrite, Bytes(16), 8);
        return builder.build();
    };
    load_fully(with_data("one", "f0"));
    load_fully(with_data("two", "f1"));
    point_into("one");  // from outside
    auto data_of = [&](const char* name) { return view(name).data; };
    machine.references.push_back(
        {Reference::Kind::patch_data, data_of("one").begin, view("two").text.begin.value + 8, 0});
    machine.references.push_back(
        {Reference::Kind::patch_data, data_of("two").begin, view("one").text.begin.value + 8, 0});
    unload_fully("one");
    unload_fully("two");
    EXPECT_EQ(machine.ledger().registered, 2u);  // one is held from outside, and holds two
    machine.references.erase(machine.references.begin());
    EXPECT_EQ(registry->retry_lingering(), 2u);
}

}  // namespace
}  // namespace graft::patch
