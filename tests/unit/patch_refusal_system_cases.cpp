// Refusals of a right patch: for its states, for what is loaded and runs, by the machine.
#include "tests/unit/patch_refusal_cases.h"

namespace graft::patch::refusals {

// ---- states ---------------------------------------------------------------------------------------------------------

void add_state_cases(std::vector<Case>& cases) {
    using formats::KlpCallback;
    using formats::KlpState;
    auto on_state = [&](RefusalCode code, std::string why, std::function<void(KlpState&, PatchBuilder&)> spoil) {
        cases.push_back(spoiled(code, std::move(why), [spoil](PatchBuilder& builder, Fixture&) {
            KlpState& state = builder.add_state(7);
            builder.add_callback(state, KlpCallback::pre_patch);
            spoil(state, builder);
        }));
    };
    on_state(RefusalCode::bad_record, "id 0", [](KlpState& state, PatchBuilder&) { state.id = 0; });
    on_state(RefusalCode::bad_record, "no time", [](KlpState& state, PatchBuilder&) { state.time_limit_ms = 0; });
    on_state(RefusalCode::bad_record, "too much time",
             [](KlpState& state, PatchBuilder&) { state.time_limit_ms = formats::kKlpMaxTimeLimitMs + 1; });
    on_state(RefusalCode::bad_record, "name", [](KlpState& state, PatchBuilder&) { state.name = "a b"; });
    on_state(RefusalCode::bad_record, "no name", [](KlpState& state, PatchBuilder&) { state.name = ""; });
    on_state(RefusalCode::unknown_flags, "state flags", [](KlpState& state, PatchBuilder&) { state.flags = 2; });
    cases.push_back(metadata(RefusalCode::bad_record, "state payload", [](Bytes& section) {
        append_record(section, static_cast<u16>(formats::KlpTag::state), formats::kKlpCritical, Bytes(44));
    }));
    cases.push_back(spoiled(RefusalCode::too_many_states, "bomb", [](PatchBuilder& builder, Fixture&) {
        for (u32 i = 0; i <= formats::kKlpMaxStates; ++i) builder.add_state(i + 1);
    }));
    on_state(RefusalCode::repeated_state, "twice",
             [](KlpState&, PatchBuilder& builder) { builder.add_state(7, 2).name = "another"; });
    on_state(RefusalCode::bad_callback, "outside", [](KlpState& state, PatchBuilder&) { state.callback[1] = 4000; });
    on_state(RefusalCode::bad_callback, "undefined",
             [](KlpState& state, PatchBuilder& builder) { state.callback[3] = builder.add_undefined("elsewhere"); });
    on_state(RefusalCode::bad_callback, "an object", [](KlpState& state, PatchBuilder& builder) {
        state.callback[4] = builder.object.add_symbol("x", 1, 0, 8, elf::kBindLocal, 1);
    });
    on_state(RefusalCode::bad_callback, "no size", [](KlpState& state, PatchBuilder& builder) {
        state.callback[2] = builder.object.add_symbol("x", 1, 0, 0, elf::kBindLocal, elf::kSymbolFunction);
    });
    on_state(RefusalCode::callback_replaces, "a new function",
             [](KlpState& state, PatchBuilder& builder) { state.callback[1] = builder.functions[0].symbol; });
}

namespace {

Bytes stateful(Fixture& at, const std::string& name, const std::string& set, u32 version, u32 flags = 0) {
    PatchBuilder builder(at.image, name);
    builder.set = set;
    formats::KlpState& state = builder.add_state(7, version);
    state.flags = flags;
    builder.add_callback(state, formats::KlpCallback::pre_patch);
    return builder.build();
}

// A load whose callback is ended so; what became of it.
RefusalResult<void> outcome_of(Fixture& at, const CallbackEnd& end, bool take_back = false) {
    at.machine.hold_callbacks = true;
    u64 ticket = 0;
    must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}, &ticket));
    if (take_back) must(at.registry.unregister("fix"));
    at.machine.end_callback(end);
    at.machine.hold_callbacks = false;
    at.registry.complete();
    return at.registry.outcome(ticket).value_or(RefusalResult<void>());
}

}  // namespace

void add_callback_cases(std::vector<Case>& cases) {
    cases.push_back({RefusalCode::callback_running, "load", [](Fixture& at) {
                         at.machine.hold_callbacks = true;
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}));
                         auto result = load_simple(at, "fix-2", "f1");
                         at.machine.hold_callbacks = false;
                         at.machine.end_callback();
                         at.registry.complete();
                         return result;
                     }});
    cases.push_back({RefusalCode::not_on_probation, "commit", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return at.registry.commit("fix");
                     }});
    cases.push_back({RefusalCode::on_probation, "a further successor", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {.probation_ns = 1'000'000'000}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "fix-2", "fix", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::rollback_due, "commit", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {.probation_ns = 1'000'000'000}));
                         at.registry.complete();
                         at.machine.unmoved = {1};
                         must(load_simple(at, "other", "f1"));
                         EXPECT_TRUE(at.registry.withdraw("fix", "simulated"));
                         auto result = at.registry.commit("fix");
                         at.machine.unmoved.clear();
                         at.registry.complete();
                         at.registry.complete();
                         return result;
                     }});
    cases.push_back({RefusalCode::state_taken, "another set", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 1), {}, {}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "other", "other", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::older_state, "successor", [](Fixture& at) {
                         must(at.registry.load(stateful(at, "fix", "fix", 2), {}, {}));
                         at.registry.complete();
                         return at.registry.load(stateful(at, "fix-2", "fix", 1), {}, {});
                     }});
    cases.push_back({RefusalCode::irreversible_state, "probation", [](Fixture& at) {
                         return at.registry.load(stateful(at, "fix", "fix", 1, formats::kKlpStateIrreversible), {},
                                                 {.probation_ns = 1});
                     }});
    cases.push_back(
        {RefusalCode::pre_patch_refused, "number", [](Fixture& at) { return outcome_of(at, {.value = 3}); }});
    cases.push_back(
        {RefusalCode::pre_patch_faulted, "fault", [](Fixture& at) { return outcome_of(at, {.faulted = true}); }});
    cases.push_back({RefusalCode::cancelled, "taken back", [](Fixture& at) { return outcome_of(at, {}, true); }});
}

// ---- in memory, beside others, on the machine -----------------------------------------------------------------------

void add_other_cases(std::vector<Case>& cases) {
    cases.push_back(spoiled(RefusalCode::bad_frames, "uncovered function", [](PatchBuilder& builder, Fixture&) {
        u32 bare = add_raw(builder, ".text.bare", elf::kSectionProgram, elf::kFlagAlloc | elf::kFlagExecute, 16);
        builder.object.add_symbol("bare", static_cast<u16>(bare), 0, 16, elf::kBindLocal, elf::kSymbolFunction);
    }));
    cases.push_back(spoiled(RefusalCode::bad_constructor, "of the image", [](PatchBuilder& builder, Fixture& at) {
        u32 list = add_raw(builder, ".init_array", elf::kSectionInitArray, kWrite, 8);
        builder.object.add_relocation(list, 0, elf::kRelocation64,
                                      builder.add_reference("f1", at.image.function("f1").entry()), 0);
    }));
    cases.push_back(spoiled(RefusalCode::bad_constructor, "in the middle", [](PatchBuilder& builder, Fixture&) {
        u32 list = add_raw(builder, ".init_array", elf::kSectionInitArray, kWrite, 8);
        builder.object.add_relocation(list, 0, elf::kRelocation64, builder.add_function("init"), 8);
    }));
    cases.push_back({RefusalCode::bad_name, "slash", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         return at.registry.load(builder.build(), "a/b", {});
                     }});
    cases.push_back({RefusalCode::name_taken, "twice", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return load_simple(at, "fix", "f1");
                     }});
    cases.push_back({RefusalCode::name_lingers, "out of force", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         point_into(at.registry, at.machine, "fix");
                         must(at.registry.unregister("fix"));
                         at.registry.complete();
                         auto result = load_simple(at, "fix", "f1");
                         at.machine.references.clear();
                         EXPECT_EQ(at.registry.retry_lingering(), 1u);
                         return result;
                     }});
    cases.push_back({RefusalCode::function_taken, "replaced", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return load_simple(at, "fix-2", "f0");
                     }});
    cases.push_back({RefusalCode::function_taken, "held", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         builder.add_hold(at.image.function("f1"));
                         must(at.registry.load(builder.build(), {}, {}));
                         at.registry.complete();
                         return load_simple(at, "fix-2", "f1");
                     }});
    cases.push_back({RefusalCode::transition_running, "load", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         return load_simple(at, "fix-2", "f1");
                     }});
    cases.push_back({RefusalCode::canary_running, "load", [](Fixture& at) {
                         must(load_canary(at));
                         return load_simple(at, "fix-2", "f1");
                     }});
    cases.push_back({RefusalCode::not_a_canary, "promote", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         return at.registry.promote("fix");
                     }});
    cases.push_back({RefusalCode::canary_turned, "promote", [](Fixture& at) {
                         must(load_canary(at));
                         must(at.registry.reverse("fix"));
                         return at.registry.promote("fix");
                     }});
    cases.push_back({RefusalCode::no_memory, "none", [](Fixture& at) {
                         PatchBuilder builder(at.image, "fix");
                         builder.replace("f0");
                         Bytes file = builder.build();
                         at.machine.fail_after(1);
                         return at.registry.load(file, {}, {});
                     }});
    cases.push_back({RefusalCode::site_mismatch, "breakpoint", [](Fixture& at) {
                         at.machine.foreign_sites.insert(at.image.function("f0").entry());
                         return load_simple(at, "fix", "f0");
                     }});
    cases.push_back(
        {RefusalCode::unknown_patch, "unregister", [](Fixture& at) { return at.registry.unregister("nobody"); }});
    cases.push_back({RefusalCode::unknown_patch, "reverse", [](Fixture& at) { return at.registry.reverse("nobody"); }});
    cases.push_back({RefusalCode::already_leaving, "twice", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         must(at.registry.unregister("fix"));
                         return at.registry.unregister("fix");
                     }});
    cases.push_back({RefusalCode::not_in_transition, "settled", [](Fixture& at) {
                         must(load_simple(at, "fix", "f0"));
                         at.registry.complete();
                         return at.registry.reverse("fix");
                     }});
    cases.push_back({RefusalCode::too_many_patches, "bomb", [](Fixture& at) {
                         for (usize i = 0; i < kMaxPatches; ++i) {
                             must(load_simple(at, "fix-" + std::to_string(i), "f" + std::to_string(i)));
                             at.registry.complete();
                         }
                         return load_simple(at, "one-more", "f200");
                     }});
}

}  // namespace graft::patch::refusals
