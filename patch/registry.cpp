#include "patch/registry.h"

#include "formats/klp.h"

namespace graft::patch {

Registry::~Registry() {
    GRAFT_ASSERT(!transition_);
    while (Patch* patch = patches_.pop_front()) {
        pop_funcs(*patch);
        release(*patch);
    }
    while (Patch* patch = lingering_.pop_front()) release(*patch);
}

// ---- load -----------------------------------------------------------------------------------------------------------

RefusalResult<void> Registry::load(std::span<const std::byte> file, std::string_view name, const LoadOptions& options) {
    MachineGuard guard(machine_);
    auto loaded = load_locked(file, name, options);
    if (!loaded) record_refusal(HistoryEvent::refused, name, loaded.error());
    return loaded;
}

RefusalResult<void> Registry::load_locked(std::span<const std::byte> file, std::string_view name,
                                          const LoadOptions& options) {
    GRAFT_CHECK(check_idle());
    if (!name.empty()) GRAFT_CHECK(check_name(name));
    auto plan = GRAFT_TRY(Plan::parse(machine_, file, {.allow_endless = options.allow_endless}));
    if (name.empty()) {
        name = plan.metadata().name();
        GRAFT_CHECK(check_name(name));
    }
    GRAFT_CHECK(check_claims(plan));

    auto patch = RecordOwner<Patch>::create(machine_);
    if (!patch) return refuse(RefusalCode::no_memory, name);
    GRAFT_CHECK(fill(*patch, plan, name));
    GRAFT_CHECK(push_funcs(*patch));
    auto started = start(*patch, true);
    if (!started) {
        pop_funcs(*patch);
        // Its constructors may have left pointers behind.
        if (patch->object.has_constructors()) {
            ++patch_count_;
            retire(patch.give_up());
            collect_lingering();
        }
        return started;
    }
    ++patch_count_;
    patches_.push_back(patch.give_up());
    return {};
}

RefusalResult<void> Registry::fill(Patch& patch, const Plan& plan, std::string_view name) {
    const auto& metadata = plan.metadata();
    std::string_view set = metadata.set() == metadata.name() ? name : metadata.set();
    PatchTexts texts{name,
                     set,
                     metadata.version(),
                     metadata.description(),
                     metadata.fixes(),
                     metadata.built_from(),
                     metadata.built_with()};
    if (!patch.set_texts(machine_, texts)) return refuse(RefusalCode::no_memory, name);
    bool created =
        patch.funcs.create(machine_, plan.funcs().size()) && patch.holds.create(machine_, plan.holds().size());
    if (!created) return refuse(RefusalCode::no_memory, name);
    GRAFT_CHECK(patch.object.create(machine_, plan, patch.texts.name));

    patch.endless = plan.is_endless();
    for (usize i = 0; i < patch.funcs.size(); ++i) {
        const PlannedFunc& planned = plan.funcs()[i];
        Func& func = patch.funcs[i];
        func.patch = &patch;
        func.old = planned.old;
        func.new_function = patch.object.address_of(plan, planned);
        func.new_size = planned.size;
    }
    for (usize i = 0; i < patch.holds.size(); ++i) patch.holds[i].function = plan.holds()[i];
    return {};
}

RefusalResult<void> Registry::push_funcs(Patch& patch) {
    for (Func& func : patch.funcs) {
        if (func_stacks_.push(machine_, func)) continue;
        pop_funcs(patch);
        return refuse(RefusalCode::no_memory, patch.texts.name);
    }
    return {};
}

void Registry::pop_funcs(Patch& patch) {
    for (Func& func : patch.funcs) {
        if (func.stack != nullptr) func_stacks_.remove(machine_, func);
    }
}

RefusalResult<void> Registry::check_idle() const {
    if (!transition_) return {};
    return refuse(RefusalCode::transition_running, {}, 0, 0, 0, transition_->patch().texts.name);
}

RefusalResult<void> Registry::check_name(std::string_view name) {
    if (!formats::is_patch_name(name)) return refuse(RefusalCode::bad_name, name);
    for (auto* list : {&patches_, &lingering_}) {
        for (Patch& patch : *list) {
            if (patch.texts.name == name) return refuse(RefusalCode::name_taken, name);
        }
    }
    if (patch_count_ >= kMaxPatches)
        return refuse(RefusalCode::too_many_patches, name, 0, patch_count_ + 1, kMaxPatches);
    return {};
}

RefusalResult<void> Registry::check_claim(const FunctionInfo& function) {
    for (Patch& patch : patches_) {
        if (!patch.claims(function.entry)) continue;
        return refuse(RefusalCode::function_taken, function.name, function.entry.value, 0, 0, patch.texts.name);
    }
    return {};
}

RefusalResult<void> Registry::check_claims(const Plan& plan) {
    for (const PlannedFunc& func : plan.funcs()) GRAFT_CHECK(check_claim(func.old));
    for (const FunctionInfo& hold : plan.holds()) GRAFT_CHECK(check_claim(hold));
    return {};
}

// ---- transitions ----------------------------------------------------------------------------------------------------

RefusalResult<void> Registry::start(Patch& patch, bool appearing) {
    auto transition = GRAFT_TRY(Transition::prepare(machine_, patch, appearing, settled_));
    // Before the first call site is live, so that no task sees an object that isn't made yet.
    if (appearing) patch.object.run_constructors();
    GRAFT_CHECK(transition->begin());
    transition_ = std::move(transition);
    reported_stuck_ = false;
    patch.stage = appearing ? Stage::appearing : Stage::disappearing;
    if (appearing) patch.loaded_ns = transition_->began_ns();
    record(appearing ? HistoryEvent::load_started : HistoryEvent::unload_started, patch.texts.name);
    return {};
}

RefusalResult<void> Registry::unregister(std::string_view name) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (patch->stage == Stage::disappearing) return refuse(RefusalCode::already_leaving, name);
    if (patch->stage == Stage::appearing) return turn(*patch);
    GRAFT_CHECK(check_idle());
    return start(*patch, false);
}

RefusalResult<void> Registry::reverse(std::string_view name) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (!patch->is_in_transition()) return refuse(RefusalCode::not_in_transition, name);
    return turn(*patch);
}

RefusalResult<void> Registry::turn(Patch& patch) {
    transition_->turn();
    reported_stuck_ = false;
    patch.stage = transition_->is_appearing() ? Stage::appearing : Stage::disappearing;
    record(HistoryEvent::turned, patch.texts.name);
    return {};
}

Completion Registry::complete() {
    MachineGuard guard(machine_);
    if (!transition_) return Completion::nothing;
    if (machine_.tasks_to_move() != 0) return Completion::not_yet;

    Patch& patch = transition_->patch();
    MoveCounts moves = machine_.moves();
    auto settled = transition_->settle();
    if (!settled) {
        if (!reported_stuck_) record_refusal(HistoryEvent::stuck, patch.texts.name, settled.error());
        reported_stuck_ = true;
        return Completion::stuck;
    }
    settled_ = transition_->target();
    bool in_force = transition_->is_appearing();
    record_end(patch, in_force, *transition_, moves);
    transition_.reset();
    finish(patch, in_force);
    collect_lingering();
    return Completion::done;
}

void Registry::finish(Patch& patch, bool in_force) {
    if (in_force) {
        patch.stage = Stage::enabled;
        return;
    }
    pop_funcs(patch);
    patches_.remove(patch);
    retire(patch);
}

Patch* Registry::find_registered(std::string_view name) {
    for (Patch& patch : patches_) {
        if (patch.texts.name == name) return &patch;
    }
    return nullptr;
}

}  // namespace graft::patch
