// Canaries: the share, the registry's answers while one is held, and its ends.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

CanaryPolicy percent(u8 share) {
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::percent;
    policy.percent = share;
    return policy;
}

CanaryPolicy names(std::string_view pattern) {
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::names;
    policy.pattern.assign(pattern);
    return policy;
}

CanaryPolicy births() {
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::births;
    return policy;
}

// ---- the share ------------------------------------------------------------------------------------------------------

TEST(CanaryShare, IsRoundedUp) {
    EXPECT_EQ(share_of(0, 10), 0u);
    EXPECT_EQ(share_of(1, 1), 1u);
    EXPECT_EQ(share_of(10, 10), 1u);
    EXPECT_EQ(share_of(11, 10), 2u);
    EXPECT_EQ(share_of(250, 1), 3u);
    EXPECT_EQ(share_of(7, 100), 7u);
    EXPECT_EQ(share_of(~u64{0}, 100), ~u64{0});
}

TEST(CanaryShare, IsSpreadOverTheTasks) {
    ShareCount count;
    std::string chosen;
    for (int i = 0; i < 20; ++i) {
        bool is_one = belongs(percent(25), "task", count, false);
        chosen += is_one ? 'x' : '.';
        ++count.total;
        count.chosen += is_one ? 1 : 0;
        EXPECT_EQ(count.chosen, share_of(count.total, 25));
    }
    EXPECT_EQ(chosen, "x...x...x...x...x...");
}

TEST(CanaryShare, BirthsKeepIt) {
    EXPECT_FALSE(belongs(percent(25), "task", {.total = 7, .chosen = 2}, true));
    EXPECT_TRUE(belongs(percent(25), "task", {.total = 8, .chosen = 2}, true));
    EXPECT_TRUE(belongs(percent(25), "task", {.total = 7, .chosen = 1}, true));  // one of the share has ended
}

TEST(CanaryShare, OfNamesAndBirths) {
    EXPECT_TRUE(belongs(names("web-*"), "web-7", {}, false));
    EXPECT_FALSE(belongs(names("web-*"), "desk", {}, true));
    EXPECT_FALSE(belongs(births(), "web-7", {}, false));
    EXPECT_TRUE(belongs(births(), "web-7", {}, true));
    EXPECT_FALSE(belongs({}, "web-7", {}, true));
}

TEST(CanaryShare, Patterns) {
    for (auto [pattern, name] : {std::pair{"*", ""},
                                 {"*", "abc"},
                                 {"abc", "abc"},
                                 {"a?c", "abc"},
                                 {"a*", "a"},
                                 {"*b*", "abc"},
                                 {"a*c*e", "abcde"},
                                 {"*ab", "aab"},
                                 {"a**c", "abc"},
                                 {"", ""},
                                 {"*.*.z", "x.y.z"}})
        EXPECT_TRUE(matches(pattern, name)) << pattern << " " << name;
    for (auto [pattern, name] : {std::pair{"", "a"},
                                 {"abc", "ab"},
                                 {"ab", "abc"},
                                 {"a?c", "ac"},
                                 {"*b", "abc"},
                                 {"a*c", "abcd"},
                                 {"?", ""},
                                 {"ABC", "abc"}})
        EXPECT_FALSE(matches(pattern, name)) << pattern << " " << name;
}

TEST(CanaryShare, IsRenderedAsAskedFor) {
    auto text = [](const CanaryPolicy& policy) {
        Text<128> out;
        render(policy, out);
        return std::string(out.view());
    };
    EXPECT_EQ(text(percent(10)), "10%");
    EXPECT_EQ(text(names("web-?")), "tasks=web-?");
    EXPECT_EQ(text(births()), "new");
    EXPECT_EQ(text({}), "");
}

// ---- the registry ---------------------------------------------------------------------------------------------------

class PatchCanary : public PatchRegistryTest {
protected:
    // "fix" with f0 and f1 as a canary: of three tasks of the share, one hasn't moved.
    void start_canary(LoadOptions options = {}) {
        if (!options.canary) options.canary = percent(10);
        machine.share_count = {.total = 30, .chosen = 3, .moved = 2};
        machine.unmoved = {7};
        start(make("fix", {"f0", "f1"}), options);
    }
    void move_share() {
        machine.share_count.moved = 3;
        machine.unmoved.clear();
        EXPECT_EQ(registry->complete(), Completion::not_yet);
    }
    void hold_canary(LoadOptions options = {}) {
        start_canary(options);
        move_share();
    }
    CanaryView canary() { return view("fix").canary; }
    std::string last_record() {
        std::vector<HistoryRecord> records(kHistorySize);
        u64 last = 0;
        usize count = registry->read_history(1, records, last);
        Text<512> line;
        if (count != 0) render(records[count - 1], line);
        auto columns = std::string(line.view());
        return columns.substr(columns.find('\t', columns.find('\t') + 1) + 1);
    }
    std::string names_of_patches() {
        std::string text;
        for (auto& name : names()) text += name + " ";
        return text;
    }
};

TEST_F(PatchCanary, IsHeldWhenItsShareHasMoved) {
    start_canary();
    EXPECT_TRUE(machine.canary);
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    EXPECT_FALSE(canary().has_moved);
    EXPECT_EQ(events(), "load-started fix\n");
    move_share();
    EXPECT_TRUE(canary().has_moved);
    EXPECT_EQ(canary().share.chosen, 3u);
    EXPECT_EQ(last_record(), "canary\tfix\tshare=10%\tmoved=3\tchosen=3\ttotal=30");
    EXPECT_EQ(registry->complete(), Completion::not_yet);  // as often as the worker likes
    EXPECT_EQ(events(), "load-started fix\ncanary fix\n");
    EXPECT_EQ(stage("fix"), Stage::appearing);
}

TEST_F(PatchCanary, IsPromoted) {
    hold_canary();
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_TRUE(canary().promoted);
    EXPECT_FALSE(machine.canary);
    EXPECT_EQ(last_record(), "promoted\tfix\tshare=10%\tmoved=3\tchosen=3\ttotal=30");
    EXPECT_EQ(code(registry->promote("fix")), RefusalCode::not_a_canary);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
    EXPECT_FALSE(canary().policy);
    EXPECT_EQ(code(registry->promote("fix")), RefusalCode::not_a_canary);
    EXPECT_EQ(code(registry->promote("nobody")), RefusalCode::unknown_patch);
}

TEST_F(PatchCanary, IsPromotedBeforeItsShareHasMoved) {
    start_canary();
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    machine.unmoved.clear();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchCanary, IsReversedAndUnregisteredAlike) {
    for (bool unregisters : {false, true}) {
        hold_canary();
        auto turned = unregisters ? registry->unregister("fix") : registry->reverse("fix");
        ASSERT_TRUE(turned.has_value());
        EXPECT_EQ(code(registry->promote("fix")), RefusalCode::canary_turned);
        EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::already_leaving);
        EXPECT_EQ(registry->complete(), Completion::done);
        EXPECT_EQ(names_of_patches(), "");
        EXPECT_EQ(at("f0"), "original");
    }
}

TEST_F(PatchCanary, TurnedTwiceIsACanaryAgain) {
    hold_canary();
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_FALSE(canary().has_moved);
    EXPECT_TRUE(canary().turned);
    machine.unmoved = {7};
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_FALSE(canary().turned);
    move_share();
    EXPECT_EQ(events(), "load-started fix\ncanary fix\nturned fix\nturned fix\ncanary fix\n");
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
}

TEST_F(PatchCanary, OthersAreRefusedMeanwhileNamingItAndItsAge) {
    load_fully(make("other", {"f8"}));
    hold_canary();
    machine.advance(125 * kSecond);
    auto refused = load(make("third", {"f9"}));
    EXPECT_EQ(code(refused), RefusalCode::canary_running);
    EXPECT_EQ(text_of(refused.error()),
              "canary_running \"a canary is to be promoted or reversed first (fix), 125 s old\"");
    EXPECT_EQ(code(registry->unregister("other")), RefusalCode::canary_running);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(code(load(make("third", {"f9"}))), RefusalCode::transition_running);
}

TEST_F(PatchCanary, OfAReplace) {
    load_fully(make("fix", {"f0", "f1"}));
    auto before = machine.ledger();
    start(make_in_set("fix-2", "fix", {"f1", "f2"}), {.canary = births()});
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::canary_running);
    EXPECT_EQ(code(registry->promote("fix")), RefusalCode::not_a_canary);
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(code(registry->unregister("fix")), RefusalCode::transition_running);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(machine.ledger(), before);
    start(make_in_set("fix-3", "fix", {"f1", "f2"}), {.probation_ns = kSecond, .canary = births()});
    ASSERT_TRUE(registry->promote("fix-3").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f2"), "fix-3");
    ASSERT_TRUE(registry->rollback("fix-3").has_value());  // its probation began with the promotion's end
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchCanary, ItsDeadlineIsForTheShareAndAnewForThePromotion) {
    start_canary({.deadline_ns = kSecond});
    EXPECT_NE(machine.alarm_ns, kNoAlarm);
    move_share();
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    let_pass(10 * kSecond);
    EXPECT_EQ(stage("fix"), Stage::appearing);
    machine.unmoved = {8, 9};
    ASSERT_TRUE(registry->promote("fix", kSecond).has_value());
    let_pass(kSecond / 2);
    EXPECT_EQ(stage("fix"), Stage::appearing);
    let_pass(kSecond);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    machine.unmoved.clear();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "original");
}

TEST_F(PatchCanary, APromotionWithoutADeadlineHasNone) {
    start_canary({.deadline_ns = kSecond});
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix"), Stage::appearing);
}

TEST_F(PatchCanary, TurnsWhenItsShareHasNotMovedByTheDeadline) {
    start_canary({.deadline_ns = kSecond});
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    EXPECT_EQ(events(), "load-started fix\nexpired fix\nheld fix\nturned fix\n");
}

TEST_F(PatchCanary, KeepsItsDeadlineWhenTheShareHasMovedAndNobodyHasLookedYet) {
    start_canary({.deadline_ns = kSecond});
    machine.unmoved.clear();
    let_pass(2 * kSecond);
    machine.unmoved = {9};  // born since
    let_pass(2 * kSecond);
    EXPECT_EQ(stage("fix"), Stage::appearing);
    EXPECT_EQ(events(), "load-started fix\ncanary fix\n");
}

TEST_F(PatchCanary, IsAbortedWithTheReason) {
    hold_canary();
    EXPECT_FALSE(registry->abort_canary("nobody", "p99"));
    ASSERT_TRUE(registry->abort_canary("fix", "p99 is 3 times as long"));
    EXPECT_FALSE(registry->abort_canary("fix", "again"));
    EXPECT_EQ(events(), "load-started fix\ncanary fix\naborted fix\nturned fix\n");
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(names_of_patches(), "");
}

TEST_F(PatchCanary, NobodyIsWokenForItsRulesAfterAnAbort) {
    LoadOptions options;
    ASSERT_TRUE(options.health.add({HealthRule::Kind::faults, 0}));
    hold_canary(options);
    EXPECT_NE(machine.alarm_ns, kNoAlarm);
    machine.unmoved = {7};
    ASSERT_TRUE(registry->abort_canary("fix", "too slow"));
    EXPECT_EQ(machine.alarm_ns, kNoAlarm);
}

TEST_F(PatchCanary, AWithdrawalOfItIsAnAbort) {
    hold_canary();
    ASSERT_TRUE(registry->withdraw("fix", "a fault"));
    EXPECT_EQ(events(), "load-started fix\ncanary fix\naborted fix\nturned fix\n");
}

TEST_F(PatchCanary, IsNotAbortedAfterItsPromotion) {
    hold_canary();
    machine.unmoved = {8};
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_FALSE(registry->abort_canary("fix", "too late"));
    machine.unmoved.clear();
    EXPECT_EQ(registry->complete(), Completion::done);
}

TEST_F(PatchCanary, GivesWayToARollbackThatIsDue) {
    start(make("other", {"f8"}), {.probation_ns = 1000 * kSecond});
    EXPECT_EQ(registry->complete(), Completion::done);
    hold_canary();
    ASSERT_TRUE(registry->withdraw("other", "a fault"));
    EXPECT_EQ(last_record(), "turned\tfix\tturns=1");
    EXPECT_EQ(code(registry->reverse("fix")), RefusalCode::rollback_due);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(stage("other"), Stage::disappearing);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(names_of_patches(), "");
}

TEST_F(PatchCanary, OthersProbationsEndMeanwhile) {
    start(make("other", {"f8"}), {.probation_ns = 20 * kSecond});
    EXPECT_EQ(registry->complete(), Completion::done);
    hold_canary();
    EXPECT_EQ(code(registry->rollback("other")), RefusalCode::canary_running);
    let_pass(30 * kSecond);
    EXPECT_EQ(last_record(), "committed\tother");
    EXPECT_EQ(stage("fix"), Stage::appearing);
}

TEST_F(PatchCanary, ForceMovesTheShare) {
    start_canary();
    ASSERT_TRUE(registry->force("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::not_yet);
    EXPECT_TRUE(canary().has_moved);
    EXPECT_EQ(stage("fix"), Stage::appearing);
}

TEST_F(PatchCanary, IsMeasuredUntilItsEnd) {
    auto measured = [&] {
        bool all = !machine.made_dispatches.empty();
        for (const Dispatch& dispatch : machine.made_dispatches) all = all && dispatch.is_measured;
        return all;
    };
    load_fully(make("plain", {"f8"}));
    EXPECT_FALSE(measured());
    hold_canary({.probation_ns = 10 * kSecond});
    EXPECT_TRUE(measured());
    ASSERT_TRUE(registry->promote("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    ASSERT_TRUE(registry->rollback("fix").has_value());
    EXPECT_TRUE(measured());  // still on probation
    ASSERT_TRUE(registry->reverse("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    ASSERT_TRUE(registry->commit("fix").has_value());
    unload_fully("fix");
    EXPECT_FALSE(measured());
}

TEST_F(PatchCanary, OfAnIrreversibleStateIsRefused) {
    auto file = [&](bool irreversible) {
        sim::PatchBuilder builder(image, "fix");
        builder.replace("f0");
        builder.add_state(7).flags = irreversible ? formats::kKlpStateIrreversible : 0;
        return builder.build();
    };
    auto refused = load(file(true), {}, {.canary = percent(10)});
    EXPECT_EQ(code(refused), RefusalCode::irreversible_state);
    start(file(false), {.canary = percent(10)});
    EXPECT_EQ(registry->complete(), Completion::not_yet);
}

}  // namespace
}  // namespace graft::patch
