#include "tests/unit/patch_life_fixture.h"

#include <sstream>

namespace graft::patch::life {

namespace {

constexpr u64 kMinute = 60 * kSecond;

}  // namespace

// ---- what there is --------------------------------------------------------------------------------------------------

std::string PatchLifeTest::describe(const PatchView& view) const {
    std::string text(name_of(view.stage));
    if (view.on_probation) text += " on probation";
    if (!view.dormant.empty()) text += " over " + std::string(view.dormant);
    if (view.canary.policy) text += view.canary.promoted ? " promoted" : " canary";
    return text;
}

Snapshot PatchLifeTest::look() {
    class Lingering final : public LingeringVisitor {
    public:
        void lingering(std::string_view patch, std::span<const Reference>, u64) override {
            names += std::string(patch) + " ";
        }
        std::string names;
    } lingering;
    Snapshot seen;
    for (auto& name : names()) seen.patches[name] = describe(view(name));
    registry->visit_lingering(lingering);
    seen.lingering = lingering.names;
    if (auto running = registry->transition()) {
        seen.transition = std::string(running->patch.view()) + (running->appearing ? " appears" : " disappears");
        seen.turns = running->turns;
    }
    if (auto callback = registry->callback())
        seen.callback = std::string(callback->patch.view()) + " " + std::string(callback->callback);
    seen.forced = registry->taint().forced;
    std::istringstream lines(events());
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("refused ")) seen.events += line + "\n";
    }
    seen.ledger = machine.ledger();
    return seen;
}

std::string PatchLifeTest::where(std::string_view patch) {
    Snapshot seen = look();
    if (auto found = seen.patches.find(std::string(patch)); found != seen.patches.end()) {
        PatchView shown = view(patch);
        if (shown.in_transition && machine.canary && machine.unmoved.empty()) return "held";
        if (shown.on_probation && shown.stage == Stage::enabled) return "on probation";
        return std::string(name_of(shown.stage));
    }
    for (auto& [name, how] : seen.patches) {
        if (how.ends_with(" over " + std::string(patch))) return "dormant";
    }
    return seen.lingering.find(std::string(patch) + " ") != std::string::npos ? "lingering" : "gone";
}

// ---- requests -------------------------------------------------------------------------------------------------------

std::string PatchLifeTest::outcome(Request request, std::string_view patch) {
    if (request == Request::withdraw) return withdrawn(patch);
    if (request == Request::time) return after_a_minute(patch);
    if (request == Request::end) return at_the_end(patch);
    Snapshot before = look();
    auto result = ask(request, patch);
    Snapshot after = look();
    if (result) return before == after ? given_up() : difference(before, after);
    EXPECT_TRUE(before == after) << "a refusal left something behind";
    return std::string(name_of(result.error().code));
}

RefusalResult<void> PatchLifeTest::ask(Request request, std::string_view patch) {
    switch (request) {
        case Request::unregister:
            return registry->unregister(patch);
        case Request::reverse:
            return registry->reverse(patch);
        case Request::rollback:
            return registry->rollback(patch);
        case Request::commit:
            return registry->commit(patch);
        case Request::force:
            return registry->force(patch);
        case Request::promote:
            return registry->promote(patch);
        case Request::successor:
            return load(make_in_set("fix-3", "fix", {"f0"}));
        case Request::other:
            return load(make("apart", {"f9"}));
        case Request::name:
            return load(make("apart", {"f9"}), patch);
        case Request::withdraw:
        case Request::time:
        case Request::end:
            break;
    }
    ADD_FAILURE() << "not a request";
    return {};
}

// What a request that was accepted has changed.
std::string PatchLifeTest::difference(const Snapshot& before, const Snapshot& after) {
    auto is_new = [&](std::string_view event) {
        return after.events.substr(before.events.size()).find(event) != std::string::npos;
    };
    if (before.transition.empty() && !after.transition.empty()) return "begins";
    if (after.turns == before.turns + 1 && is_new("turned ")) return "turns";
    if (after.turns != before.turns) return "turns more than once";
    if (after.forced != before.forced) {
        EXPECT_TRUE(machine.unmoved.empty());
        EXPECT_EQ(after.transition, before.transition);
        return "moves";
    }
    if (is_new("promoted ")) return "promotes";
    if (is_new("committed ")) return "commits";
    if (is_new("withdrawn ")) return "due";
    return "changes something";
}

// Nothing has changed yet: the change that a callback runs for never begins.
std::string PatchLifeTest::given_up() {
    std::string before = look().events;
    let_end();
    std::string news = look().events.substr(before.size());
    return news.find("-started ") == std::string::npos ? "cancels" : "does nothing";
}

// ---- events ---------------------------------------------------------------------------------------------------------

std::string PatchLifeTest::withdrawn(std::string_view patch) {
    Snapshot before = look();
    bool is_withdrawn = registry->withdraw(patch, "simulated");
    Snapshot after = look();
    if (is_withdrawn) return difference(before, after);
    EXPECT_TRUE(before == after) << "it can't be withdrawn, and left something behind";
    return "no";
}

std::string PatchLifeTest::after_a_minute(std::string_view patch) {
    std::string place = where(patch);
    Snapshot before = look();
    let_pass(kMinute + kSecond);
    Snapshot after = look();
    bool is_there = before.patches.contains(std::string(patch));
    bool is_same = before.patches == after.patches && before.transition == after.transition;
    if (!is_there) return place == where(patch) ? "-" : where(patch);
    if (is_same) return "-";
    bool concerns = before.patches.at(std::string(patch)) != after.patches[std::string(patch)];
    return concerns ? difference(before, after) : "-";
}

std::string PatchLifeTest::at_the_end(std::string_view patch) {
    std::string before = where(patch);
    let_end();
    std::string after = where(patch);
    return before == after ? "-" : after;
}

void PatchLifeTest::let_end() {
    machine.hold_callbacks = false;
    machine.unmoved.clear();
    machine.undrained = false;
    for (int i = 0; i < 8 && !registry->is_idle(); ++i) {
        if (machine.callback_runs()) machine.end_callback();
        (void)registry->complete();
    }
}

}  // namespace graft::patch::life
