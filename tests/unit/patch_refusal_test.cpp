// One test for each refusal: a patch that is right but for one thing. What is refused leaves no trace.
#include <set>

#include "tests/unit/patch_refusal_cases.h"

namespace graft::patch {
namespace {

using refusals::Case;
using refusals::Fixture;
using sim::PatchBuilder;
using sim::SimImage;

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    refusals::add_envelope_cases(cases);
    refusals::add_signature_cases(cases);
    refusals::add_version_cases(cases);
    refusals::add_object_cases(cases);
    refusals::add_metadata_cases(cases);
    refusals::add_section_cases(cases);
    refusals::add_symbol_cases(cases);
    refusals::add_state_cases(cases);
    refusals::add_callback_cases(cases);
    refusals::add_function_cases(cases);
    refusals::add_relocation_cases(cases);
    refusals::add_other_cases(cases);
    return cases;
}

TEST(PatchRefusal, EachCheckRefusesAloneAndLeavesNoTrace) {
    std::set<RefusalCode> seen;
    for (auto& test : all_cases()) {
        SimImage image(256);
        sim::StillMachine machine(image);
        auto registry = Registry::create(machine);
        Fixture at{image, machine, *registry};
        auto result = test.request(at);
        ASSERT_FALSE(result.has_value()) << name_of(test.code) << ": " << test.why << " was accepted";
        Text<512> line;
        render(result.error(), line);
        EXPECT_EQ(name_of(result.error().code), name_of(test.code)) << test.why << ": " << line.view();
        EXPECT_FALSE(line.truncated());
        EXPECT_EQ(line.view().find('\n'), std::string_view::npos);
        seen.insert(test.code);

        unload_everything(*registry);
        registry.reset();
        EXPECT_EQ(machine.ledger().records, 0u) << name_of(test.code) << ": " << test.why;
        EXPECT_EQ(machine.ledger().patch_bytes, 0u) << name_of(test.code) << ": " << test.why;
        EXPECT_EQ(machine.ledger().trampolines, 0u) << name_of(test.code) << ": " << test.why;
        for (auto& violation : machine.violations) ADD_FAILURE() << test.why << ": " << violation;
    }
    for (usize i = 0; i < kRefusalCodeCount; ++i) {
        auto code = static_cast<RefusalCode>(i);
        EXPECT_TRUE(seen.contains(code)) << "no test refuses with " << name_of(code);
    }
}

// The base of all cases is right: nothing else in it would be refused.
TEST(PatchRefusal, TheUnspoiledPatchLoads) {
    SimImage image(256);
    sim::StillMachine machine(image);
    auto registry = Registry::create(machine);
    PatchBuilder builder(image, "fix");
    builder.replace("f0");
    EXPECT_TRUE(registry->load(builder.build(), {}, {}).has_value());
    EXPECT_EQ(registry->complete(), Completion::done);
    unload_everything(*registry);
}

}  // namespace
}  // namespace graft::patch
