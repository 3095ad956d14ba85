#include "patch/registry.h"

#include "formats/klp.h"

namespace graft::patch {

Registry::~Registry() {
    MachineGuard guard(machine_);
    GRAFT_ASSERT(!transition_ && callbacks_.phase == Callbacks::Phase::none);
    for (auto* list : {&patches_, &dormant_}) {
        while (Patch* patch = list->pop_front()) {
            watch(*patch, false);
            pop_funcs(*patch);
            release(*patch);
        }
    }
    while (Patch* patch = lingering_.pop_front()) release(*patch);
}

// ---- load -----------------------------------------------------------------------------------------------------------

RefusalResult<void> Registry::load(std::span<const std::byte> file, std::string_view name, const LoadOptions& options,
                                   u64* ticket) {
    auto origin = check_origin(machine_, file, options.source);  // without the lock: anybody may ask for it
    MachineGuard guard(machine_);
    std::string_view label = name.empty() ? options.label : name;
    if (!origin) {
        ++unauthenticated_refusals_;
        if (options.source == Source::boot) record_refusal(HistoryEvent::refused, label, {}, origin.error());
        return std::unexpected(origin.error());
    }
    auto loaded = load_locked(*origin, name, options);
    hand_out(ticket, loaded);
    if (!loaded) record_refusal(HistoryEvent::refused, label, origin->signer, loaded.error());
    set_alarm();
    return loaded;
}

RefusalResult<void> Registry::load_locked(const Origin& origin, std::string_view name, const LoadOptions& options) {
    GRAFT_CHECK(check_idle());
    GRAFT_CHECK(check_no_rollback_due());
    if (!name.empty()) GRAFT_CHECK(check_name(name));
    auto plan = GRAFT_TRY(Plan::parse(machine_, origin.file, {.allow_endless = options.allow_endless}));
    if (name.empty()) {
        name = plan.metadata().name();
        GRAFT_CHECK(check_name(name));
    }
    std::string_view set = plan.set_for(name);
    Patch* outgoing = find_enabled(set);
    GRAFT_CHECK(check_set(plan, set));
    GRAFT_CHECK(check_states(plan, set, outgoing, options.probation_ns != 0 || options.canary));
    std::string_view version = plan.metadata().version();
    if (!options.allow_downgrade) GRAFT_CHECK(set_versions_.check(set, version));

    auto patch = RecordOwner<Patch>::create(machine_);
    if (!patch) return refuse(RefusalCode::no_memory, name);
    patch->signer = origin.signer;
    patch->set_version = set_versions_.prepare(set, version);
    if (!patch->set_version && !version.empty()) return refuse(RefusalCode::no_memory, name);
    GRAFT_CHECK(fill(*patch, plan, name));
    patch->probation_ns = options.probation_ns;
    patch->nudge_period_ns = options.nudge_period_ns;
    patch->canary = options.canary;
    patch->is_measured = static_cast<bool>(options.canary);
    patch->health = options.health;
    GRAFT_CHECK(succeed(*patch, outgoing));
    auto pushed = push_funcs(*patch);
    if (!pushed) {
        pop_funcs(*patch);
        part_from_predecessor(*patch);
        return pushed;
    }
    ++patch_count_;
    Patch& loading = patch.give_up();
    patches_.push_back(loading);
    return start({Change::Kind::load, &loading, outgoing}, options.deadline_ns);
}

RefusalResult<void> Registry::fill(Patch& patch, const Plan& plan, std::string_view name) {
    const auto& metadata = plan.metadata();
    PatchTexts texts{name,
                     plan.set_for(name),
                     metadata.version(),
                     metadata.description(),
                     metadata.fixes(),
                     metadata.built_from(),
                     metadata.built_with()};
    if (!patch.set_texts(machine_, texts)) return refuse(RefusalCode::no_memory, name);
    bool created = patch.funcs.create(machine_, plan.funcs().size()) &&
                   patch.holds.create(machine_, plan.holds().size()) &&
                   patch.states.create(machine_, plan.states().size());
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
    take_states(patch, plan);
    return {};
}

// Makes it the successor of `outgoing` (null: of nothing): what that one replaces and this one doesn't gets a no-op.
RefusalResult<void> Registry::succeed(Patch& patch, Patch* outgoing) {
    if (outgoing == nullptr) return {};
    usize count = 0;
    for (const Func& func : outgoing->funcs) count += patch.find_func(func.old.entry) == nullptr ? 1 : 0;
    if (!patch.no_ops.create(machine_, count)) return refuse(RefusalCode::no_memory, patch.texts.name);
    usize next = 0;
    for (const Func& func : outgoing->funcs) {
        if (patch.find_func(func.old.entry) != nullptr) continue;
        Func& no_op = patch.no_ops[next++];
        no_op.patch = &patch;
        no_op.old = func.old;
    }
    patch.predecessor = outgoing;
    outgoing->successor = &patch;
    patch.replaces.assign(outgoing->texts.name);
    return {};
}

void Registry::part_from_predecessor(Patch& patch) {
    if (patch.predecessor == nullptr) return;
    for (Func& no_op : patch.no_ops) {
        if (no_op.stack != nullptr) func_stacks_.remove(machine_, no_op);
    }
    patch.no_ops.reset();
    patch.predecessor->successor = nullptr;
    patch.predecessor = nullptr;
}

RefusalResult<void> Registry::push_funcs(Patch& patch) {
    for (auto* funcs : {&patch.funcs, &patch.no_ops}) {
        for (Func& func : *funcs) {
            if (!func_stacks_.push(machine_, func)) return refuse(RefusalCode::no_memory, patch.texts.name);
        }
    }
    return {};
}

void Registry::pop_funcs(Patch& patch) {
    for (auto* funcs : {&patch.funcs, &patch.no_ops}) {
        for (Func& func : *funcs) {
            if (func.stack != nullptr) func_stacks_.remove(machine_, func);
        }
    }
}

RefusalResult<void> Registry::check_idle() const {
    GRAFT_CHECK(check_no_callback());
    if (!transition_) return {};
    if (is_held_canary()) return refuse_canary();
    return refuse(RefusalCode::transition_running, {}, 0, 0, 0, transition_->subject().texts.name);
}

RefusalResult<void> Registry::check_name(std::string_view name) {
    if (!formats::is_patch_name(name)) return refuse(RefusalCode::bad_name, name);
    for (auto* list : {&patches_, &dormant_, &lingering_}) {
        auto code = list == &lingering_ ? RefusalCode::name_lingers : RefusalCode::name_taken;
        for (Patch& patch : *list) {
            if (patch.texts.name == name) return refuse(code, name);
        }
    }
    if (patch_count_ >= kMaxPatches)
        return refuse(RefusalCode::too_many_patches, name, 0, patch_count_ + 1, kMaxPatches);
    return {};
}

// Belongs the function to a patch of another set?
RefusalResult<void> Registry::check_claim(const FunctionInfo& function, std::string_view set) {
    for (auto* list : {&patches_, &dormant_}) {
        for (Patch& patch : *list) {
            if (patch.texts.set == set || !patch.claims(function.entry)) continue;
            return refuse(RefusalCode::function_taken, function.name, function.entry.value, 0, 0, patch.texts.name);
        }
    }
    return {};
}

RefusalResult<void> Registry::check_probation(std::string_view set) {
    Patch* holder = find_enabled(set);
    if (holder == nullptr || !holder->is_on_probation()) return {};
    return refuse(RefusalCode::on_probation, set, 0, 0, 0, holder->texts.name);
}

// Only who replaces a patch or has states may do without functions.
RefusalResult<void> Registry::check_funcs(const Plan& plan, std::string_view set) {
    bool does_something = !plan.funcs().empty() || plan.metadata().state_count() != 0;
    if (does_something || find_enabled(set) != nullptr) return {};
    return refuse(RefusalCode::no_funcs, plan.metadata().name());
}

RefusalResult<void> Registry::check_set(const Plan& plan, std::string_view set) {
    GRAFT_CHECK(check_probation(set));
    GRAFT_CHECK(check_funcs(plan, set));
    for (const PlannedFunc& func : plan.funcs()) GRAFT_CHECK(check_claim(func.old, set));
    for (const FunctionInfo& hold : plan.holds()) GRAFT_CHECK(check_claim(hold, set));
    return {};
}

Patch* Registry::find_registered(std::string_view name) {
    for (Patch& patch : patches_) {
        if (patch.texts.name == name) return &patch;
    }
    return nullptr;
}

// The patch of the set that is in force; there is one at most.
Patch* Registry::find_enabled(std::string_view set) {
    for (Patch& patch : patches_) {
        if (patch.texts.set == set && patch.stage == Stage::enabled) return &patch;
    }
    return nullptr;
}

}  // namespace graft::patch
