// The life of patches, as the registry's table tells it.
#include "tests/unit/patch_fixture.h"

namespace graft::patch {
namespace {

using sim::Bytes;
using sim::PatchBuilder;
using sim::SimImage;

TEST_F(PatchRegistryTest, HoldersAreNudgedOnRequestAndOnlyMeanwhile) {
    LoadOptions options;
    options.nudge_period_ns = 250;
    ASSERT_TRUE(load(make("fix", {"f0"}), {}, options).has_value());
    EXPECT_EQ(machine.nudge_period_ns, 250u);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(machine.nudge_period_ns, 0u);
    ASSERT_TRUE(load(make("other", {"f1"})).has_value());
    EXPECT_EQ(machine.nudge_period_ns, 0u);
    EXPECT_EQ(registry->complete(), Completion::done);
}

TEST_F(PatchRegistryTest, LoadsAndUnloads) {
    auto before = machine.ledger();
    Bytes file = make("fix", {"f0", "f1"}, {"f4"});
    ASSERT_TRUE(load(file).has_value());
    EXPECT_EQ(stage("fix"), Stage::appearing);
    ASSERT_TRUE(registry->transition().has_value());
    EXPECT_TRUE(registry->transition()->appearing);
    EXPECT_EQ(machine.ledger().trampolines, 1u);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(registry->complete(), Completion::nothing);
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_EQ(machine.ledger().trampolines, 0u);
    EXPECT_TRUE(machine.is_live_text(machine.site(entry("f0"))));
    EXPECT_FALSE(machine.site(entry("f4")));  // held only

    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_EQ(stage("fix"), Stage::disappearing);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(names().empty());
    EXPECT_EQ(machine.ledger(), before);
    EXPECT_EQ(events(), "load-started fix\nloaded fix\nunload-started fix\nunloaded fix\nfreed fix\n");
}

TEST_F(PatchRegistryTest, ReversesALoadAnyNumberOfTimes) {
    auto before = machine.ledger();
    Bytes file = make("fix", {"f0"});
    for (u32 turns = 0; turns < 5; ++turns) {
        ASSERT_TRUE(load(file).has_value());
        for (u32 i = 0; i < turns; ++i) ASSERT_TRUE(registry->reverse("fix").has_value());
        bool in_force = turns % 2 == 0;
        EXPECT_EQ(stage("fix"), in_force ? Stage::appearing : Stage::disappearing);
        EXPECT_EQ(registry->complete(), Completion::done);
        EXPECT_EQ(names().size(), in_force ? 1u : 0u);
        if (in_force) unload_fully("fix");
        EXPECT_EQ(machine.ledger(), before);
    }
}

TEST_F(PatchRegistryTest, ReversesAnUnloadAnyNumberOfTimes) {
    auto before = machine.ledger();
    Bytes file = make("fix", {"f0"});
    for (u32 turns = 0; turns < 5; ++turns) {
        load_fully(file);
        VirtAddr site = machine.site(entry("f0"));
        ASSERT_TRUE(registry->unregister("fix").has_value());
        for (u32 i = 0; i < turns; ++i) ASSERT_TRUE(registry->reverse("fix").has_value());
        EXPECT_EQ(registry->complete(), Completion::done);
        bool in_force = turns % 2 == 1;
        EXPECT_EQ(machine.site(entry("f0")), in_force ? site : VirtAddr());
        if (in_force) unload_fully("fix");
        EXPECT_EQ(machine.ledger(), before);
    }
}

TEST_F(PatchRegistryTest, UnregisteringAnAppearingPatchTurnsItsTransition) {
    ASSERT_TRUE(load(make("fix", {"f0"})).has_value());
    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_TRUE(names().empty());
    EXPECT_EQ(events(), "load-started fix\nturned fix\nunloaded fix\nfreed fix\n");
}

TEST_F(PatchRegistryTest, IndependentPatchesComeAndGoInAnyOrder) {
    load_fully(make("one", {"f0"}, {"f3"}));
    load_fully(make("two", {"f1"}));
    load_fully(make("three", {"f2"}));
    EXPECT_EQ(names(), (std::vector<std::string>{"one", "two", "three"}));
    unload_fully("two");
    load_fully(make("four", {"f1"}));
    unload_fully("one");
    EXPECT_FALSE(machine.site(entry("f0")));
    EXPECT_TRUE(machine.site(entry("f1")));
    EXPECT_TRUE(machine.site(entry("f2")));
}

TEST_F(PatchRegistryTest, TheGivenNameWins) {
    load_fully(make("fix", {"f0"}), "renamed");
    EXPECT_EQ(names(), std::vector<std::string>{"renamed"});
}

TEST_F(PatchRegistryTest, LingersAsLongAsSomethingPointsIntoIt) {
    load_fully(make("fix", {"f0"}));
    point_into("fix");
    unload_fully("fix");
    EXPECT_TRUE(names().empty());
    struct Visitor final : LingeringVisitor {
        void lingering(std::string_view patch, std::span<const Reference> places, u64 total) override {
            EXPECT_EQ(patch, "fix");
            ASSERT_EQ(places.size(), 1u);
            EXPECT_EQ(places[0].place, VirtAddr(0x1234));
            EXPECT_EQ(total, 1u);
            ++count;
        }
        int count = 0;
    } visitor;
    registry->visit_lingering(visitor);
    EXPECT_EQ(visitor.count, 1);
    EXPECT_NE(machine.ledger().patch_bytes, 0u);

    auto again = load(make("fix", {"f0"}));
    ASSERT_FALSE(again.has_value());
    EXPECT_EQ(text_of(again.error()),
              "name_lingers \"fix: a patch of that name lingers, its memory isn't free yet: see /lingering\"");
    load_fully(make("fix-2", {"f0"}));  // looked at again, and still pointed into
    EXPECT_EQ(registry->retry_lingering(), 0u);
    machine.references.clear();
    unload_fully("fix-2");
    EXPECT_EQ(machine.ledger().patch_bytes, 0u);
    EXPECT_EQ(
        events(),
        "load-started fix\nloaded fix\nunload-started fix\nunloaded fix\nlingers fix\nrefused \nload-started fix-2\n"
        "loaded fix-2\nunload-started fix-2\nunloaded fix-2\nfreed fix\nfreed fix-2\n");
}

TEST_F(PatchRegistryTest, AWordInThePatchItselfDoesNotHoldIt) {
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    builder.object.add_section(".data.x", elf::kSectionProgram, elf::kFlagAlloc | elf::kFlagWrite, Bytes(16), 8);
    load_fully(builder.build());
    point_into("fix");
    machine.references[0].place = view("fix").data.begin;
    unload_fully("fix");
    EXPECT_EQ(machine.ledger().patch_bytes, 0u);
}

TEST_F(PatchRegistryTest, LingersWhenItsConstructorsLeftAPointerAndTheLoadFailed) {
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    u32 list = builder.object.add_section(".init_array", elf::kSectionInitArray, elf::kFlagAlloc | elf::kFlagWrite,
                                          Bytes(8), 8);
    builder.object.add_relocation(list, 0, elf::kRelocation64, builder.add_function("init"), 0);
    Bytes file = builder.build();
    machine.foreign_sites.insert(entry("f0"));
    machine.references.push_back({Reference::Kind::heap, VirtAddr(8), image.patch_room().begin.value + 8, 0});
    ASSERT_FALSE(load(file).has_value());
    EXPECT_NE(machine.ledger().patch_bytes, 0u);
    machine.references.clear();
    EXPECT_EQ(registry->retry_lingering(), 1u);
    EXPECT_EQ(machine.ledger().patch_bytes, 0u);
}

TEST_F(PatchRegistryTest, StaysInTransitionWhenACallSiteCannotBeSettled) {
    ASSERT_TRUE(load(make("fix", {"f0"})).has_value());
    machine.foreign_sites.insert(entry("f0"));
    EXPECT_EQ(registry->complete(), Completion::stuck);
    EXPECT_EQ(registry->complete(), Completion::stuck);
    EXPECT_TRUE(registry->transition().has_value());
    EXPECT_EQ(events(), "load-started fix\nstuck fix\n");  // told once
    machine.foreign_sites.clear();
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(stage("fix"), Stage::enabled);
}

TEST_F(PatchRegistryTest, NamesItsCodeForPeople) {
    struct Names final : CodeVisitor {
        void code(const PatchCode& code) override {
            for (const CodeSymbol& symbol : code.symbols)
                lines.push_back(std::string(code.patch_name) + " " + std::string(symbol.name) + " " +
                                std::string(symbol.display));
        }
        std::vector<std::string> lines;
    };
    auto names = [&] {
        Names names;
        registry->visit_code(names);
        return names.lines;
    };
    PatchBuilder builder(image, "fix");
    u32 first = builder.add_function("_Z5firstv");
    builder.add_function("plain");
    u32 last = builder.add_function("_Z4lastv");
    builder.replace("f0");
    // The others have no name for people; one names what isn't a function.
    builder.more_metadata = [&](auto& writer) {
        writer.display_name(first, "first()");
        writer.display_name(last, "last()");
        writer.display_name(last + 1000, "nothing");
    };
    ASSERT_TRUE(registry->load(builder.build(), {}, {}).has_value());
    auto found = names();
    auto has = [&](const char* line) { return std::count(found.begin(), found.end(), line) == 1; };
    EXPECT_TRUE(has("fix _Z5firstv first()"));
    EXPECT_TRUE(has("fix plain plain"));
    EXPECT_TRUE(has("fix _Z4lastv last()"));
    EXPECT_EQ(registry->complete(), Completion::done);
    // One that lingers has its names; one that is gone has none.
    machine.references.push_back({Reference::Kind::heap, VirtAddr(8), image.patch_room().begin.value + 8, 0});
    ASSERT_TRUE(registry->unregister("fix").has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(names(), found);
    machine.references.clear();
    EXPECT_EQ(registry->retry_lingering(), 1u);
    EXPECT_TRUE(names().empty());
}

// Some stack can't be walked: nobody waits for it, but for the transition's own end.
TEST_F(PatchRegistryTest, GoesOnWhileItDrains) {
    constexpr u64 kSeconds = 1'000'000'000;
    ASSERT_TRUE(load(make("fix", {"f0"})).has_value());
    machine.undrained = true;
    EXPECT_EQ(registry->complete(), Completion::draining);
    EXPECT_EQ(registry->complete(), Completion::draining);
    EXPECT_TRUE(registry->transition().has_value());
    EXPECT_NE(machine.ledger().trampolines, 0u);
    EXPECT_TRUE(machine.ledger().in_transition);
    // Its sites lead straight to their target: it can't be turned any more.
    auto is_refused = [](const RefusalResult<void>& result) {
        return !result && result.error().code == RefusalCode::transition_running;
    };
    EXPECT_TRUE(is_refused(registry->reverse("fix")));
    EXPECT_TRUE(is_refused(registry->unregister("fix")));
    EXPECT_TRUE(is_refused(registry->force("fix")));
    EXPECT_FALSE(registry->withdraw("fix", "simulated"));
    EXPECT_TRUE(is_refused(load(make("fix-2", {"f1"}))));
    registry->tick();
    usize lines = machine.log_lines.size();
    EXPECT_EQ(registry->complete(), Completion::draining);
    EXPECT_EQ(machine.log_lines.size(), lines);
    machine.advance(6 * kSeconds);
    EXPECT_EQ(registry->complete(), Completion::draining);
    EXPECT_EQ(machine.log_lines.size(), lines + 1);
    EXPECT_EQ(events(), "load-started fix\nrefused \n");  // fix-2 was
    machine.undrained = false;
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(stage("fix"), Stage::enabled);
    EXPECT_EQ(machine.ledger().trampolines, 0u);
}

// A deadline that passes meanwhile comes too late to turn anything.
TEST_F(PatchRegistryTest, KeepsWhatHasSettledPastItsDeadline) {
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    ASSERT_TRUE(registry->load(builder.build(), {}, {.deadline_ns = 1000}).has_value());
    machine.undrained = true;
    EXPECT_EQ(registry->complete(), Completion::draining);
    machine.advance(2000);
    registry->tick();
    machine.undrained = false;
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(stage("fix"), Stage::enabled);
}

TEST_F(PatchRegistryTest, ShowsItsFunctions) {
    load_fully(make("fix", {"f2", "f0"}, {"f5"}));
    struct Visitor final : FunctionVisitor {
        void function(const FunctionView& view) override { views.push_back(view); }
        std::vector<FunctionView> views;
    } visitor;
    ASSERT_TRUE(registry->visit_functions("fix", visitor));
    ASSERT_EQ(visitor.views.size(), 3u);
    EXPECT_EQ(visitor.views[0].name, "f0");
    EXPECT_EQ(visitor.views[1].name, "f2");
    EXPECT_EQ(visitor.views[1].old_size, 2 * SimImage::kFunctionSize);  // two parts
    EXPECT_EQ(visitor.views[1].new_function, machine.site(entry("f2")));
    EXPECT_EQ(visitor.views[1].new_size, PatchBuilder::kFunctionSize);
    EXPECT_TRUE(visitor.views[1].patched);
    EXPECT_TRUE(visitor.views[2].hold);
    EXPECT_EQ(visitor.views[2].position, 1u);
    EXPECT_FALSE(registry->visit_functions("nobody", visitor));
}

class PlanCollector final : public PlanSink {
public:
    void patch(const PatchView& view) override {
        name = view.name;
        replaces = view.replaces;
    }
    void function(const FunctionView& view) override { functions.emplace_back(view.name); }
    void holder(u64 task, Verdict::Kind) override { holders.push_back(task); }
    void refusal(const Refusal& refusal) override { refusals.push_back(refusal.code); }

    std::string name, replaces;
    std::vector<std::string> functions;
    std::vector<u64> holders;
    std::vector<RefusalCode> refusals;
};

TEST_F(PatchRegistryTest, PlansWithoutChangingAnything) {
    load_fully(make("fix", {"f0"}, {"f1"}));
    auto before = machine.ledger();
    PlanCollector fits;
    registry->plan(make("other", {"f3"}, {"f4"}), {}, {}, fits);
    EXPECT_EQ(fits.name, "other");
    EXPECT_EQ(fits.functions, (std::vector<std::string>{"f3", "f4"}));
    EXPECT_TRUE(fits.refusals.empty());
    EXPECT_EQ(fits.replaces, "");

    PlanCollector replacing;
    registry->plan(make_in_set("fix-2", "fix", {"f0", "f1"}), {}, {}, replacing);
    EXPECT_EQ(replacing.replaces, "fix");
    EXPECT_TRUE(replacing.refusals.empty());

    PlanCollector conflicts;
    registry->plan(make_in_set("fix", "other", {"f1", "f3"}, {"f0"}), {}, {}, conflicts);
    EXPECT_EQ(conflicts.refusals, (std::vector<RefusalCode>{RefusalCode::name_taken, RefusalCode::function_taken,
                                                            RefusalCode::function_taken}));

    PlanCollector unreadable;
    registry->plan(Bytes(10), {}, {}, unreadable);
    EXPECT_EQ(unreadable.refusals, std::vector<RefusalCode>{RefusalCode::not_a_patch});
    EXPECT_EQ(machine.ledger(), before);
    EXPECT_EQ(events(), "load-started fix\nloaded fix\n");
}

// At each place where the machine can fail, it does, once.
TEST_F(PatchRegistryTest, RecoversFromAFailureAtEachPlace) {
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    builder.replace("f1");
    builder.add_hold(image.function("f2"));
    u32 list = builder.object.add_section(".init_array", elf::kSectionInitArray, elf::kFlagAlloc | elf::kFlagWrite,
                                          Bytes(8), 8);
    builder.object.add_relocation(list, 0, elf::kRelocation64, builder.add_function("init"), 0);
    Bytes file = builder.build();
    auto before = machine.ledger();
    u64 places = 0;
    for (u64 n = 1;; ++n) {
        machine.fail_after(n);
        auto loaded = load(file);
        if (loaded) break;
        ASSERT_EQ(machine.ledger(), before) << "failure " << n << ": " << text_of(loaded.error());
        ++places;
    }
    EXPECT_GT(places, 15u);
    machine.fail_after(0);
    ASSERT_EQ(registry->complete(), Completion::done);

    auto loaded = machine.ledger();
    for (u64 n = 1;; ++n) {
        machine.fail_after(n);
        auto unregistered = registry->unregister("fix");
        if (unregistered) break;
        ASSERT_EQ(machine.ledger(), loaded) << "failure " << n;
        EXPECT_EQ(stage("fix"), Stage::enabled);
    }
    machine.fail_after(1);
    EXPECT_EQ(registry->complete(), Completion::stuck);
    EXPECT_EQ(registry->complete(), Completion::done);
    EXPECT_EQ(machine.ledger(), before);
}

TEST_F(PatchRegistryTest, ALoadDuringATransitionNamesWhatRuns) {
    ASSERT_TRUE(load(make("fix", {"f0"})).has_value());
    auto refused = load(make("other", {"f1"}));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().other.view(), "fix");
    auto unregistered = registry->reverse("other");
    ASSERT_FALSE(unregistered.has_value());
    EXPECT_EQ(unregistered.error().code, RefusalCode::unknown_patch);
}

}  // namespace
}  // namespace graft::patch
