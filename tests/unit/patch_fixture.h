// A registry over a machine without tasks, for the tests of patch/.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include <vector>

#include "patch/registry.h"
#include "tests/sim/patch_builder.h"
#include "tests/sim/still_machine.h"

namespace graft::patch {

class NameCollector final : public PatchVisitor {
public:
    void patch(const PatchView& view) override { names.emplace_back(view.name); }
    std::vector<std::string> names;
};

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

}  // namespace graft::patch
