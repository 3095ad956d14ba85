// A registry over a machine without tasks, for the tests of patch/.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include <vector>

#include "patch/registry.h"
#include "tests/sim/patch_builder.h"
#include "tests/sim/still_machine.h"

namespace graft::patch {

constexpr u64 kSecond = 1'000'000'000;

class NameCollector final : public PatchVisitor {
public:
    void patch(const PatchView& view) override { names.emplace_back(view.name); }
    std::vector<std::string> names;
};

// Empty when there is no such registered patch. Its texts are the registry's.
inline std::optional<PatchView> find_view(Registry& registry, std::string_view name) {
    struct Visitor final : PatchVisitor {
        void patch(const PatchView& view) override { kept = view; }
        std::optional<PatchView> kept;
    } visitor;
    (void)registry.visit_patch(name, visitor);
    return visitor.kept;
}

// A word into the patch's text, at a place that the machine's searches find.
inline void point_into(Registry& registry, sim::StillMachine& machine, std::string_view name) {
    auto view = find_view(registry, name);
    ASSERT_TRUE(view) << name;
    machine.references.push_back({Reference::Kind::timer, VirtAddr(0x1234), view->text.begin.value + 16, 0});
}

// All that a state can have.
inline void add_callbacks(sim::PatchBuilder& builder, formats::KlpState& state) {
    using formats::KlpCallback;
    for (auto which : {KlpCallback::pre_patch, KlpCallback::post_patch, KlpCallback::pre_unpatch,
                       KlpCallback::post_unpatch, KlpCallback::destroy})
        builder.add_callback(state, which);
}

// Ends what runs and unloads every patch, as far as the machine lets it.
inline void unload_everything(Registry& registry) {
    registry.complete();
    NameCollector collector;
    registry.visit_patches(collector);
    for (auto& name : collector.names) {
        (void)registry.unregister(name).has_value();
        registry.complete();
    }
}

class PatchTest : public testing::Test {
protected:
    PatchTest() : image(24), machine(image), registry(Registry::create(machine)) {}
    ~PatchTest() override {
        unload_everything(*registry);
        registry.reset();
        EXPECT_TRUE(machine.violations.empty()) << machine.violations.front();
        EXPECT_EQ(machine.ledger(), sim::Ledger{});
    }

    static std::string text_of(const Refusal& refusal) {
        Text<512> out;
        render(refusal, out);
        return std::string(name_of(refusal.code)) + " \"" + std::string(out.view()) + "\"";
    }

    RefusalResult<void> load(const sim::Bytes& file, std::string_view name = {}, LoadOptions options = {}) {
        return registry->load(file, name, options);
    }
    // Loads and lets the transition end.
    void load_fully(const sim::Bytes& file, std::string_view name = {}) {
        auto loaded = load(file, name);
        ASSERT_TRUE(loaded.has_value()) << text_of(loaded.error());
        ASSERT_EQ(registry->complete(), Completion::done);
    }
    void unload_fully(std::string_view name) {
        auto unregistered = registry->unregister(name);
        ASSERT_TRUE(unregistered.has_value()) << text_of(unregistered.error());
        ASSERT_EQ(registry->complete(), Completion::done);
    }

    sim::SimImage image;
    sim::StillMachine machine;
    RecordOwner<Registry> registry;
};

// Patches of a few functions, and what the registry says of them.
class PatchRegistryTest : public PatchTest {
protected:
    using Bytes = sim::Bytes;
    using Names = std::initializer_list<const char*>;

    // Ends what a test has left under way.
    ~PatchRegistryTest() override {
        machine.unmoved.clear();
        machine.hold_callbacks = false;
        machine.refusing_callbacks.clear();
        machine.fail_after(0);
        machine.undrained = false;
        for (int i = 0; i < 8 && !registry->is_idle(); ++i) {
            if (machine.callback_runs()) machine.end_callback();
            auto running = registry->transition();
            if (running && running->appearing && machine.canary)
                (void)registry->reverse(running->patch.view()).has_value();
            (void)registry->complete();
        }
        machine.shadow_variables.clear();
    }

    void start(const Bytes& file, const LoadOptions& options = {}) {
        auto loaded = load(file, {}, options);
        ASSERT_TRUE(loaded.has_value()) << text_of(loaded.error());
    }
    void complete() { ASSERT_EQ(registry->complete(), Completion::done); }
    // The time passes, and the registry is called when it wanted to be.
    void let_pass(u64 ns) {
        machine.advance(ns);
        if (machine.alarm_ns > machine.now_ns()) return;
        machine.alarm_ns = kNoAlarm;
        registry->tick();
    }
    // For patches that nothing can unload.
    void switch_off() {
        machine.forget_sites();
        registry.reset();
        registry = Registry::create(machine);
    }
    static RefusalCode code(const RefusalResult<void>& result) {
        EXPECT_FALSE(result.has_value());
        return result ? RefusalCode::not_a_patch : result.error().code;
    }

    Bytes make(const std::string& name, Names replaced, Names held = {}) {
        return make_in_set(name, {}, replaced, held);
    }
    // An empty `set`: the file names none.
    Bytes make_in_set(const std::string& name, const std::string& set, Names replaced, Names held = {}) {
        sim::PatchBuilder builder(image, name);
        builder.add_function("helper");
        builder.set = set;
        for (auto* function : replaced) builder.replace(function);
        for (auto* function : held) builder.add_hold(image.function(function));
        return builder.build();
    }
    VirtAddr entry(std::string_view name) const { return image.function(name).entry(); }
    std::vector<std::string> names() {
        NameCollector collector;
        registry->visit_patches(collector);
        return collector.names;
    }
    // The events so far, as text.
    std::string events() {
        std::vector<HistoryRecord> records(kHistorySize);
        u64 last = 0;
        usize count = registry->read_history(1, records, last);
        EXPECT_EQ(last, count);
        EXPECT_EQ(machine.history_records, count);
        std::string text;
        for (usize i = 0; i < count; ++i) {
            text += std::string(name_of(records[i].event)) + " " + std::string(records[i].patch.view()) + "\n";
        }
        return text;
    }
    PatchView view(std::string_view name) {
        auto found = find_view(*registry, name);
        EXPECT_TRUE(found) << name;
        return found.value_or(PatchView{});
    }
    Stage stage(std::string_view name) { return view(name).stage; }
    // Where calls of the function go when no transition runs: the name of a patch, or "original".
    std::string at(std::string_view function) {
        auto destinations = machine.destinations();
        auto found = destinations.find(entry(function));
        if (found == destinations.end()) return "original";
        const PatchCode* code = machine.code_at(found->second);
        return code != nullptr ? std::string(code->patch_name) : "nowhere";
    }
    void point_into(std::string_view name) { patch::point_into(*registry, machine, name); }
};

}  // namespace graft::patch
