// Within a set the newcomer takes the place of what is there, in one transition.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

class PatchReplace : public PatchRegistryTest {};

TEST_F(PatchReplace, ReplacesWhatTheSetHas) {
    load_fully(make("fix", {"f0", "f1"}));
    auto one = machine.ledger();
    ASSERT_TRUE(load(make_in_set("fix-2", "fix", {"f1", "f2"})).has_value());
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    EXPECT_EQ(stage("fix-2"), Stage::appearing);
    EXPECT_EQ(registry->transition()->patch.view(), "fix-2");
    for (auto* function : {"f0", "f1", "f2"}) EXPECT_EQ(at(function), "nowhere");  // in trampolines
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(names(), std::vector<std::string>{"fix-2"});
    EXPECT_EQ(stage("fix-2"), Stage::enabled);
    EXPECT_EQ(view("fix-2").replaces, "fix");
    EXPECT_EQ(at("f0"), "original");
    EXPECT_EQ(at("f1"), "fix-2");
    EXPECT_EQ(at("f2"), "fix-2");
    EXPECT_EQ(machine.ledger().records, one.records);  // the first one, its funcs and the no-op have gone
    EXPECT_EQ(events(), "load-started fix\nloaded fix\nload-started fix-2\nloaded fix-2\nreplaced fix\nfreed fix\n");
    unload_fully("fix-2");
    for (auto* function : {"f0", "f1", "f2"}) EXPECT_EQ(at(function), "original");
}

TEST_F(PatchReplace, ReversingRestoresTheOldSetExactly) {
    load_fully(make("fix", {"f0", "f1"}, {"f3"}));
    auto before = machine.ledger();
    for (u32 turns = 1; turns < 6; turns += 2) {
        ASSERT_TRUE(load(make_in_set("fix-2", "fix", {"f1", "f2"}, {"f4"})).has_value());
        // Through either of the two.
        for (u32 i = 0; i < turns; ++i) ASSERT_TRUE(registry->reverse(i % 2 == 0 ? "fix" : "fix-2").has_value());
        EXPECT_EQ(stage("fix"), Stage::appearing);
        EXPECT_EQ(stage("fix-2"), Stage::disappearing);
        EXPECT_EQ(registry->complete(), Completion::done);
        EXPECT_EQ(names(), std::vector<std::string>{"fix"});
        EXPECT_EQ(stage("fix"), Stage::enabled);
        EXPECT_EQ(machine.ledger(), before);
    }
    load_fully(make_in_set("fix-3", "fix", {"f0"}));  // it can be replaced as before
    EXPECT_EQ(at("f1"), "original");
}

TEST_F(PatchReplace, UnregisteringTheNewcomerTurnsAndTheOldOneIsLeavingAlready) {
    load_fully(make("fix", {"f0"}));
    ASSERT_TRUE(load(make_in_set("fix-2", "fix", {"f0"})).has_value());
    auto refused = registry->unregister("fix");
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, RefusalCode::already_leaving);
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "fix");
}

TEST_F(PatchReplace, TheSameContentsUnderAnotherName) {
    load_fully(make_in_set("fix", "set", {"f0", "f1"}));
    load_fully(make_in_set("fix", "set", {"f0", "f1"}), "again");
    EXPECT_EQ(names(), std::vector<std::string>{"again"});
    EXPECT_EQ(at("f0"), "again");
    auto taken = load(make_in_set("fix", "set", {"f0", "f1"}), "again");
    ASSERT_FALSE(taken.has_value());
    EXPECT_EQ(taken.error().code, RefusalCode::name_taken);
}

TEST_F(PatchReplace, AnEmptyPatchReplacesAndIsReplaced) {
    Bytes empty = make_in_set("none", "fix", {});
    auto alone = load(empty);
    ASSERT_FALSE(alone.has_value());
    EXPECT_EQ(alone.error().code, RefusalCode::no_funcs);
    load_fully(make("fix", {"f0"}));
    load_fully(empty);
    EXPECT_EQ(at("f0"), "original");
    load_fully(make_in_set("fix-2", "fix", {"f0"}));
    EXPECT_EQ(at("f0"), "fix-2");

    sim::PatchBuilder builder(image, "nothing");  // not even text
    builder.set = "fix";
    builder.with_frames = false;
    load_fully(builder.build());
    EXPECT_EQ(at("f0"), "original");
    unload_fully("nothing");
}

TEST_F(PatchReplace, SharesNothingWithAnotherSet) {
    load_fully(make("fix", {"f0"}, {"f1"}));
    for (auto& file : {make("other", {"f0"}), make("other", {"f1"}), make("other", {"f2"}, {"f0"})}) {
        auto refused = load(file);
        ASSERT_FALSE(refused.has_value());
        EXPECT_EQ(refused.error().code, RefusalCode::function_taken);
        EXPECT_EQ(refused.error().other.view(), "fix");
    }
    load_fully(make("other", {"f2"}));
    auto refused = load(make_in_set("fix-2", "fix", {"f2"}));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().other.view(), "other");
    EXPECT_EQ(refused.error().subject.view(), "f2");
}

TEST_F(PatchReplace, IsRefusedDuringATransition) {
    load_fully(make("fix", {"f0"}));
    ASSERT_TRUE(load(make_in_set("fix-2", "fix", {"f0"})).has_value());
    auto refused = load(make_in_set("fix-3", "fix", {"f0"}));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, RefusalCode::transition_running);
    EXPECT_EQ(refused.error().other.view(), "fix-2");
}

TEST_F(PatchReplace, RecoversFromAFailureAtEachPlace) {
    load_fully(make("fix", {"f0", "f1", "f2"}));
    Bytes next = make_in_set("fix-2", "fix", {"f1", "f3"});
    auto before = machine.ledger();
    u64 places = 0;
    for (u64 n = 1;; ++n, ++places) {
        machine.fail_after(n);
        if (load(next)) break;
        ASSERT_EQ(machine.ledger(), before) << "failure " << n;
        ASSERT_EQ(stage("fix"), Stage::enabled);
    }
    machine.fail_after(0);
    EXPECT_GT(places, 15u);
    ASSERT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(at("f0"), "original");
}

}  // namespace
}  // namespace graft::patch
