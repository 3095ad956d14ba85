#include "tests/unit/patch_life_fixture.h"

namespace graft::patch::life {

namespace {

constexpr u64 kProbation = 60 * kSecond;

CanaryPolicy one_in_ten() {
    CanaryPolicy policy;
    policy.kind = CanaryPolicy::Kind::percent;
    policy.percent = 10;
    return policy;
}

}  // namespace

// By the table's names.
const PatchLifeTest::Situation PatchLifeTest::kSituations[] = {
    {"unknown", &PatchLifeTest::nothing},
    {"loading, a callback runs", &PatchLifeTest::loading},
    {"appearing", &PatchLifeTest::appearing},
    {"appearing, drains", &PatchLifeTest::draining},
    {"appeared, a callback runs", &PatchLifeTest::appeared},
    {"load turned", &PatchLifeTest::load_turned},
    {"canary", &PatchLifeTest::canary},
    {"canary turned", &PatchLifeTest::canary_turned},
    {"canary, turned for a rollback that is due", &PatchLifeTest::canary_gave_way},
    {"canary promoted", &PatchLifeTest::canary_promoted},
    {"enabled", &PatchLifeTest::enabled},
    {"enabled, irreversible", &PatchLifeTest::irreversible},
    {"on probation", &PatchLifeTest::on_probation},
    {"on probation, no predecessor", &PatchLifeTest::first_on_probation},
    {"dormant", &PatchLifeTest::on_probation},
    {"to be unloaded, a callback runs", &PatchLifeTest::to_be_unloaded},
    {"to be unloaded from probation, a callback runs", &PatchLifeTest::to_be_unloaded_from_probation},
    {"disappearing", &PatchLifeTest::disappearing},
    {"disappearing from probation", &PatchLifeTest::disappearing_from_probation},
    {"disappeared, a callback runs", &PatchLifeTest::disappeared},
    {"unload turned", &PatchLifeTest::unload_turned},
    {"unload turned, on probation, a callback runs", &PatchLifeTest::turned_on_probation},
    {"to be rolled back, a callback runs", &PatchLifeTest::to_be_rolled_back},
    {"rolled back", &PatchLifeTest::rolled_back},
    {"brought back", &PatchLifeTest::rolled_back},
    {"rollback turned", &PatchLifeTest::rollback_turned},
    {"rollback turned, predecessor", &PatchLifeTest::rollback_turned},
    {"replaced", &PatchLifeTest::replaced},
    {"replaced, with probation", &PatchLifeTest::replaced_with_probation},
    {"replace turned, predecessor", &PatchLifeTest::replace_turned},
    {"replaced by a canary", &PatchLifeTest::replaced_by_canary},
    {"replaced by a canary that turned", &PatchLifeTest::replaced_by_turned_canary},
    {"enabled, beside a transition", &PatchLifeTest::beside_transition},
    {"enabled, beside a canary", &PatchLifeTest::beside_canary},
    {"enabled, beside a callback", &PatchLifeTest::beside_callback},
    {"enabled, beside a rollback that is due", &PatchLifeTest::beside_due_rollback},
    {"on probation, beside a transition", &PatchLifeTest::on_probation_beside_transition},
    {"on probation, beside a canary", &PatchLifeTest::on_probation_beside_canary},
    {"on probation, beside a callback", &PatchLifeTest::on_probation_beside_callback},
    {"rollback due, beside a transition", &PatchLifeTest::due_beside_transition},
    {"rollback due, could not begin", &PatchLifeTest::due},
    {"lingering", &PatchLifeTest::lingers},
};

bool PatchLifeTest::bring_about(std::string_view situation) {
    for (const Situation& known : kSituations) {
        if (known.name != situation) continue;
        (this->*known.make)();
        return true;
    }
    return false;
}

PatchLifeTest::Bytes PatchLifeTest::stateful(const std::string& name, const std::string& set, u32 flags) {
    sim::PatchBuilder builder(image, name);
    builder.set = set;
    builder.replace("f0");
    formats::KlpState& state = builder.add_state(7);
    state.flags = flags;
    add_callbacks(builder, state);
    return builder.build();
}

void PatchLifeTest::load_canary(const Bytes& file) {
    machine.unmoved = {7};
    start(file, {.canary = one_in_ten()});
}

// ---- a load ---------------------------------------------------------------------------------------------------------

void PatchLifeTest::loading() {
    machine.hold_callbacks = true;
    start(stateful("fix", "fix"));
}

void PatchLifeTest::appearing() {
    machine.unmoved = {7};
    start(make("fix", {"f0"}));
}

void PatchLifeTest::draining() {
    machine.undrained = true;
    start(make("fix", {"f0"}));
    ASSERT_EQ(registry->complete(), Completion::draining);
}

void PatchLifeTest::appeared() {
    loading();
    machine.end_callback();
    ASSERT_EQ(registry->complete(), Completion::not_yet);
}

void PatchLifeTest::load_turned() {
    appearing();
    ASSERT_TRUE(registry->reverse("fix").has_value());
}

void PatchLifeTest::canary() {
    load_canary(make("fix", {"f0"}));
}

void PatchLifeTest::canary_turned() {
    canary();
    ASSERT_TRUE(registry->reverse("fix").has_value());
}

void PatchLifeTest::canary_gave_way() {
    start(make("other", {"f5"}), {.probation_ns = kProbation});
    complete();
    canary();
    ASSERT_TRUE(registry->withdraw("other", "simulated"));
}

void PatchLifeTest::canary_promoted() {
    canary();
    ASSERT_TRUE(registry->promote("fix").has_value());
}

// ---- settled --------------------------------------------------------------------------------------------------------

void PatchLifeTest::enabled() {
    load_fully(make("fix", {"f0"}));
}

void PatchLifeTest::irreversible() {
    load_fully(stateful("fix", "fix", formats::kKlpStateIrreversible));
    is_irreversible_ = true;
}

void PatchLifeTest::on_probation() {
    enabled();
    start(make_in_set("fix-2", "fix", {"f0", "f1"}), {.probation_ns = kProbation});
    complete();
}

void PatchLifeTest::first_on_probation() {
    start(make("fix", {"f0"}), {.probation_ns = kProbation});
    complete();
}

void PatchLifeTest::lingers() {
    enabled();
    point_into("fix");
    unload_fully("fix");
}

// ---- an unload ------------------------------------------------------------------------------------------------------

void PatchLifeTest::to_be_unloaded() {
    load_fully(stateful("fix", "fix"));
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->unregister("fix").has_value());
}

void PatchLifeTest::to_be_unloaded_from_probation() {
    enabled();
    start(stateful("fix-2", "fix"), {.probation_ns = kProbation});
    complete();
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
}

void PatchLifeTest::disappearing() {
    enabled();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->unregister("fix").has_value());
}

void PatchLifeTest::disappearing_from_probation() {
    on_probation();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
}

void PatchLifeTest::disappeared() {
    to_be_unloaded();
    machine.end_callback();
    ASSERT_EQ(registry->complete(), Completion::not_yet);
}

void PatchLifeTest::unload_turned() {
    disappearing();
    ASSERT_TRUE(registry->reverse("fix").has_value());
}

void PatchLifeTest::turned_on_probation() {
    enabled();
    start(stateful("fix-2", "fix"), {.probation_ns = kProbation});
    complete();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->unregister("fix-2").has_value());
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
    machine.unmoved.clear();
    machine.hold_callbacks = true;
    ASSERT_EQ(registry->complete(), Completion::not_yet);
}

// ---- a rollback -----------------------------------------------------------------------------------------------------

void PatchLifeTest::to_be_rolled_back() {
    enabled();
    start(stateful("fix-2", "fix"), {.probation_ns = kProbation});
    complete();
    machine.hold_callbacks = true;
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
}

void PatchLifeTest::rolled_back() {
    on_probation();
    machine.unmoved = {7};
    ASSERT_TRUE(registry->rollback("fix-2").has_value());
}

void PatchLifeTest::rollback_turned() {
    rolled_back();
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
}

// ---- a replace ------------------------------------------------------------------------------------------------------

void PatchLifeTest::replaced() {
    enabled();
    machine.unmoved = {7};
    start(make_in_set("fix-2", "fix", {"f0", "f1"}));
}

void PatchLifeTest::replaced_with_probation() {
    enabled();
    machine.unmoved = {7};
    start(make_in_set("fix-2", "fix", {"f0", "f1"}), {.probation_ns = kProbation});
}

void PatchLifeTest::replace_turned() {
    replaced();
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
}

void PatchLifeTest::replaced_by_canary() {
    enabled();
    load_canary(make_in_set("fix-2", "fix", {"f0", "f1"}));
}

void PatchLifeTest::replaced_by_turned_canary() {
    replaced_by_canary();
    ASSERT_TRUE(registry->reverse("fix-2").has_value());
}

// ---- beside another set's change ------------------------------------------------------------------------------------

void PatchLifeTest::beside_transition() {
    enabled();
    machine.unmoved = {7};
    start(make("other", {"f5"}));
}

void PatchLifeTest::beside_canary() {
    enabled();
    load_canary(make("other", {"f5"}));
}

void PatchLifeTest::beside_callback() {
    load_fully(make("fix", {"f1"}));
    machine.hold_callbacks = true;
    start(stateful("other", "other"));
}

void PatchLifeTest::beside_due_rollback() {
    enabled();
    start(make("other", {"f5"}), {.probation_ns = kProbation});
    complete();
    machine.fail_after(1);
    ASSERT_TRUE(registry->withdraw("other", "simulated"));
}

void PatchLifeTest::on_probation_beside_transition() {
    on_probation();
    machine.unmoved = {7};
    start(make("other", {"f5"}));
}

void PatchLifeTest::on_probation_beside_canary() {
    on_probation();
    load_canary(make("other", {"f5"}));
}

void PatchLifeTest::on_probation_beside_callback() {
    load_fully(make("fix", {"f1"}));
    start(make_in_set("fix-2", "fix", {"f1"}), {.probation_ns = kProbation});
    complete();
    machine.hold_callbacks = true;
    start(stateful("other", "other"));
}

void PatchLifeTest::due_beside_transition() {
    on_probation_beside_transition();
    ASSERT_TRUE(registry->withdraw("fix-2", "simulated"));
}

void PatchLifeTest::due() {
    on_probation();
    machine.fail_after(1);
    ASSERT_TRUE(registry->withdraw("fix-2", "simulated"));
}

}  // namespace graft::patch::life
