// What the registry tells: views, plans, history, log.
#include "patch/registry.h"

namespace graft::patch {

namespace {

u64 size_of(const FunctionInfo& function) {
    u64 size = 0;
    for (AddressRange part : function.parts()) size += part.size();
    return size;
}

FunctionView view_of(const FunctionInfo& function) {
    FunctionView view;
    view.name = function.name;
    view.position = function.position;
    view.entry = function.entry;
    view.old_size = size_of(function);
    return view;
}

FunctionView view_of(const Func& func) {
    FunctionView view = view_of(func.old);
    view.new_function = func.new_function;
    view.new_size = func.new_size;
    view.patched = func.stack != nullptr;
    return view;
}

FunctionView view_of_hold(const FunctionInfo& function) {
    FunctionView view = view_of(function);
    view.hold = true;
    return view;
}

class SurveyToPlan final : public SurveySink {
public:
    explicit SurveyToPlan(PlanSink& sink) : sink_(sink) {}
    void not_clear(u64 task, Verdict::Kind why) override { sink_.holder(task, why); }

private:
    PlanSink& sink_;
};

// Who would hold the transition of this plan?
void survey(Machine& machine, const Plan& plan, const Patch* outgoing, PlanSink& sink) {
    PlannedChange change;
    if (!change.create(machine, plan, outgoing)) {
        sink.refusal(Refusal{RefusalCode::no_memory, 0, 0, 0, plan.metadata().name(), {}});
        return;
    }
    SurveyToPlan to_plan(sink);
    machine.survey(change, to_plan);
}

void show_functions(const Plan& plan, PlanSink& sink) {
    for (const PlannedFunc& func : plan.funcs()) {
        FunctionView view = view_of(func.old);
        view.new_size = func.size;
        sink.function(view);
    }
    for (const FunctionInfo& hold : plan.holds()) sink.function(view_of_hold(hold));
    for (const PlannedState& state : plan.states()) {
        StateView view;
        view.id = state.declared.id;
        view.version = state.declared.version;
        view.name = state.declared.name;
        view.irreversible = state.declared.is_irreversible();
        sink.state(view);
    }
}

PatchView view_of(const Plan& plan, std::string_view name, std::string_view signer) {
    const auto& metadata = plan.metadata();
    PatchView view;
    view.signer = signer;
    view.name = name;
    view.set = plan.set_for(name);
    view.version = metadata.version();
    view.description = metadata.description();
    view.fixes = metadata.fixes();
    view.built_from = metadata.built_from();
    view.built_with = metadata.built_with();
    view.endless = plan.is_endless();
    view.func_count = plan.funcs().size();
    view.hold_count = plan.holds().size();
    view.memory_bytes = plan.size(Area::text) + plan.size(Area::rodata) + plan.size(Area::data);
    return view;
}

}  // namespace

// ---- plan -----------------------------------------------------------------------------------------------------------

void Registry::plan(std::span<const std::byte> file, std::string_view name, const LoadOptions& options,
                    PlanSink& sink) {
    auto origin = check_origin(machine_, file, options.source);
    if (!origin) {
        sink.refusal(origin.error());
        return;
    }
    MachineGuard guard(machine_);
    auto tell = [&](const RefusalResult<void>& result) {
        if (!result) sink.refusal(result.error());
    };
    auto plan = Plan::parse(machine_, origin->file, {.allow_endless = options.allow_endless});
    if (!plan) {
        sink.refusal(plan.error());
        return;
    }
    if (name.empty()) name = plan->metadata().name();
    std::string_view set = plan->set_for(name);
    Patch* outgoing = find_enabled(set);
    PatchView view = patch::view_of(*plan, name, origin->signer);
    if (outgoing != nullptr) view.replaces = outgoing->texts.name;
    sink.patch(view);
    show_functions(*plan, sink);
    tell(check_idle());
    tell(check_no_rollback_due());
    tell(check_name(name));
    tell(check_probation(set));
    tell(check_funcs(*plan, set));
    if (!options.allow_downgrade) tell(set_versions_.check(set, plan->metadata().version()));
    for (const PlannedFunc& func : plan->funcs()) tell(check_claim(func.old, set));
    for (const FunctionInfo& hold : plan->holds()) tell(check_claim(hold, set));
    tell(check_states(*plan, set, outgoing, options.probation_ns != 0 || options.canary));
    if (!transition_) survey(machine_, *plan, outgoing, sink);
}

// ---- views ----------------------------------------------------------------------------------------------------------

PatchView Registry::view_of(const Patch& patch) const {
    const PatchMemory& memory = patch.object.memory();
    PatchView view;
    view.name = patch.texts.name;
    view.set = patch.texts.set;
    view.replaces = patch.replaces.view();
    view.forced = patch.forced;
    view.canary = canary_of(patch);
    view.on_probation = patch.is_on_probation();
    view.health = patch.health;
    if (u64 now = machine_.now_ns(); patch.probation_end_ns > now)
        view.probation_left_ns = patch.probation_end_ns - now;
    if (patch.predecessor != nullptr && patch.predecessor->stage == Stage::dormant)
        view.dormant = patch.predecessor->texts.name;
    view.version = patch.texts.version;
    view.description = patch.texts.description;
    view.fixes = patch.texts.fixes;
    view.built_from = patch.texts.built_from;
    view.built_with = patch.texts.built_with;
    view.signer = patch.signer;
    view.stage = patch.stage;
    view.enabled = patch.stage == Stage::appearing || patch.stage == Stage::enabled;
    view.in_transition = patch.is_in_transition();
    view.endless = patch.endless;
    view.func_count = patch.funcs.size();
    view.hold_count = patch.holds.size();
    view.text = memory.text;
    view.rodata = memory.rodata;
    view.data = memory.data;
    view.memory_bytes = patch.object.memory_bytes();
    view.loaded_ns = patch.loaded_ns;
    view.faults = patch.faults;
    return view;
}

void Registry::visit_patches(PatchVisitor& visitor) {
    MachineGuard guard(machine_);
    for (Patch& patch : patches_) visitor.patch(view_of(patch));
}

bool Registry::visit_patch(std::string_view name, PatchVisitor& visitor) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return false;
    visitor.patch(view_of(*patch));
    return true;
}

bool Registry::visit_functions(std::string_view name, FunctionVisitor& visitor) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return false;
    for (const Func& func : patch->funcs) {
        FunctionView view = patch::view_of(func);
        view.measured = machine_.measured(func.old.entry);
        visitor.function(view);
    }
    for (const Hold& hold : patch->holds) visitor.function(view_of_hold(hold.function));
    return true;
}

void Registry::visit_code(CodeVisitor& visitor) {
    MachineGuard guard(machine_);
    for (auto* list : {&patches_, &dormant_, &lingering_}) {
        for (Patch& patch : *list) {
            if (!patch.object.code().text.empty()) visitor.code(patch.object.code());
        }
    }
}

void Registry::visit_lingering(LingeringVisitor& visitor) {
    MachineGuard guard(machine_);
    for (Patch& patch : lingering_) {
        usize kept = patch.reference_count < patch.places.size() ? patch.reference_count : patch.places.size();
        visitor.lingering(patch.texts.name, std::span(patch.places).first(kept), patch.reference_count);
    }
}

std::optional<TransitionView> Registry::transition() {
    MachineGuard guard(machine_);
    if (!transition_) return std::nullopt;
    TransitionView view;
    view.patch.assign(transition_->subject().texts.name);
    view.appearing = transition_->is_appearing();
    view.turns = transition_->turns();
    view.began_ns = transition_->began_ns();
    view.tasks_to_move = machine_.tasks_to_move();
    view.moves = machine_.moves();
    view.deadline_ns = run_.deadline_at_ns;
    view.forced = run_.is_forced(transition_->target());
    return view;
}

TaintView Registry::taint() {
    MachineGuard guard(machine_);
    return taint_;
}

}  // namespace graft::patch
