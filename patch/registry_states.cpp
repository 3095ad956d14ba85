// The callbacks of a change's states: which is next, what its end means, and what becomes of the change.
//
//   phase  | callbacks                       | then
//   -------+---------------------------------+--------------------------------------------------------------------
//   before | pre_patch, pre_unpatch          | begin(): the transition runs; refused or cancelled: after, backward
//   after  | post_unpatch, destroy,          | conclude(): the transition's end is recorded, the loser dropped; or
//          | post_patch                      | the change is abandoned, and who asked for it gets the refusal
//   debts  | destroy                         | the debtor is dropped
//
// A change without callbacks goes through its phases within the call that starts it. Else drive_callbacks() is called
// again whenever one has returned.
#include <utility>

#include "patch/registry.h"

namespace graft::patch {

namespace {

using CallbackName = Text<kMaxLabel>;

void append_callback(TextBuffer& out, std::string_view patch, const StateStep& step) {
    out.append(patch, ": ", name_of(step.which), " of state ", step.state->name.view());
}

}  // namespace

// ---- what a load brings along ---------------------------------------------------------------------------------------

void Registry::take_states(Patch& patch, const Plan& plan) {
    constexpr u64 kNsPerMs = 1'000'000;
    for (usize i = 0; i < patch.states.size(); ++i) {
        const PlannedState& planned = plan.states()[i];
        State& state = patch.states[i];
        state.id = planned.declared.id;
        state.version = planned.declared.version;
        state.irreversible = planned.declared.is_irreversible();
        state.time_limit_ns = planned.declared.time_limit_ms * kNsPerMs;
        state.name.assign(planned.declared.name);
        for (usize which = 0; which < state.callback.size(); ++which)
            state.callback[which] = patch.object.address_of(plan, planned.callback[which]);
    }
}

RefusalResult<void> Registry::check_states(const Plan& plan, std::string_view set, const Patch* outgoing,
                                           bool may_lead_back) {
    for (const PlannedState& planned : plan.states()) {
        const formats::KlpState& state = planned.declared;
        for (auto* list : {&patches_, &dormant_}) {
            for (Patch& patch : *list) {
                if (patch.texts.set == set || patch.find_state(state.id) == nullptr) continue;
                return refuse(RefusalCode::state_taken, state.name, 0, state.id, 0, patch.texts.name);
            }
        }
        const State* former = outgoing != nullptr ? outgoing->find_state(state.id) : nullptr;
        if (former != nullptr && state.version < former->version) {
            return refuse(RefusalCode::older_state, state.name, 0, state.version, former->version,
                          outgoing->texts.name);
        }
        // The way back would have to undo it.
        if (may_lead_back && former == nullptr && state.is_irreversible())
            return refuse(RefusalCode::irreversible_state, state.name, 0, 0, 0, plan.metadata().name());
    }
    if (outgoing == nullptr) return {};
    for (const State& state : outgoing->states) {
        bool is_named = false;
        for (const PlannedState& planned : plan.states()) is_named = is_named || planned.declared.id == state.id;
        if (state.irreversible && !is_named)
            return refuse(RefusalCode::irreversible_state, state.name.view(), 0, 0, 0, outgoing->texts.name);
    }
    return {};
}

RefusalResult<void> Registry::check_undo(const Patch& patch) const {
    for (const State& state : patch.states) {
        if (!state.irreversible) continue;
        return refuse(RefusalCode::irreversible_state, state.name.view(), 0, 0, 0, patch.texts.name);
    }
    return {};
}

RefusalResult<void> Registry::check_no_callback() const {
    if (callbacks_.phase == Callbacks::Phase::none) return {};
    CallbackName name;
    if (callbacks_.step) append_callback(name, owner_of(*callbacks_.step.state).texts.name, callbacks_.step);
    return refuse(RefusalCode::callback_running, {}, 0, 0, 0, name.view());
}

// ---- the way of a change --------------------------------------------------------------------------------------------

// A deadline of 0: none. Without a refusal it has begun, or waits for callbacks: hand_out() tells which.
RefusalResult<void> Registry::start(const Change& change, u64 deadline_ns) {
    watch(change.subject(), true);
    // Before the first callback, and so before the first call site is live: nobody sees an object that isn't made yet.
    if (change.kind == Change::Kind::load) change.incoming->object.run_constructors();
    callbacks_ = {};
    callbacks_.phase = Callbacks::Phase::before;
    callbacks_.change = change;
    callbacks_.deadline_ns = deadline_ns;
    callbacks_.ticket = ++last_ticket_;
    drive_callbacks();
    const Outcome& outcome = outcomes_[last_ticket_ % kOutcomes];
    return outcome.ticket == last_ticket_ ? outcome.result : RefusalResult<void>();
}

void Registry::drive_callbacks() {
    while (callbacks_.phase != Callbacks::Phase::none) {
        if (callbacks_.step) {
            auto end = machine_.callback_end();
            if (!end) return;
            end_step(*end);
        } else if (StateStep step = next_step()) {
            run_step(step);
        } else {
            end_phase();
        }
    }
}

StateChange Registry::states_of(const Change& change) const {
    return {change.incoming != nullptr ? &change.incoming->states : nullptr,
            change.outgoing != nullptr ? &change.outgoing->states : nullptr};
}

// Is the side that is out of force dormant afterwards?
bool Registry::keeps_shadow() const {
    const Change& change = callbacks_.change;
    if (callbacks_.refusal) return change.kind == Change::Kind::rollback;
    if (change.kind == Change::Kind::rollback) return !callbacks_.forward;
    return change.kind == Change::Kind::load && callbacks_.forward && change.incoming->probation_ns != 0;
}

StateStep Registry::next_step() {
    const Change& change = callbacks_.change;
    switch (callbacks_.phase) {
        case Callbacks::Phase::none:
            return {};
        case Callbacks::Phase::before:
            if (!callbacks_.cancelled) return states_of(change).next_before();
            give_up(refuse(RefusalCode::cancelled, change.subject().texts.name).error());
            return next_step();
        case Callbacks::Phase::after: {
            if (StateStep step = states_of(change).next_after(callbacks_.forward, keeps_shadow())) return step;
            bool takes_predecessor = change.kind == Change::Kind::unload && callbacks_.forward;
            Patch* predecessor = takes_predecessor ? change.outgoing->predecessor : nullptr;
            return predecessor != nullptr ? next_debt(predecessor->states) : StateStep{};
        }
        case Callbacks::Phase::debts:
            return next_debt(callbacks_.debtor->states);
    }
    return {};
}

void Registry::run_step(const StateStep& step) {
    bool ends_shadow = step.which == StateCallback::destroy;
    bool is_idle = ends_shadow ? machine_.count_shadow(step.state->id) == 0 : !step.state->function(step.which);
    if (is_idle) return StateChange::finish(step);
    callbacks_.step_began_ns = machine_.now_ns();
    callbacks_.overdue = false;
    call_step(step, step.state->function(step.which));
}

void Registry::call_step(const StateStep& step, VirtAddr function) {
    CallbackCall call;
    call.kind = CallbackCall::Kind::plain;
    if (step.which == StateCallback::pre_patch) call.kind = CallbackCall::Kind::may_refuse;
    if (step.which == StateCallback::destroy) call.kind = CallbackCall::Kind::end_shadow;
    call.function = function;
    call.state = step.state->id;
    callbacks_.step = step;
    machine_.start_callback(call);
}

void Registry::end_step(const CallbackEnd& end) {
    StateStep step = std::exchange(callbacks_.step, StateStep{});
    std::string_view state = step.state->name.view();
    std::string_view patch = owner_of(*step.state).texts.name;
    if (step.which == StateCallback::pre_patch && (end.faulted || end.value != 0)) {
        StateChange::refuse(step);
        auto code = end.faulted ? RefusalCode::pre_patch_faulted : RefusalCode::pre_patch_refused;
        return give_up(refuse(code, state, 0, static_cast<u64>(end.value), 0, patch).error());
    }
    Text<512> line;
    append_callback(line, patch, step);
    if (end.faulted) {
        line.append(" ended in a fault");
        machine_.log(LogLevel::error, line.view());
        // What a destructor wasn't called for is freed all the same: nobody knows the variables any more.
        bool leaves_shadow = step.which == StateCallback::destroy && machine_.count_shadow(step.state->id) != 0;
        if (leaves_shadow) return call_step(step, {});
    }
    StateChange::finish(step);
    if (end.faulted) return;
    if (step.which == StateCallback::destroy && end.value != 0) {
        line.append(": ", end.value, " shadow variables were left and have been freed");
        machine_.log(LogLevel::info, line.view());
    }
}

void Registry::end_phase() {
    switch (callbacks_.phase) {
        case Callbacks::Phase::none:
            return;
        case Callbacks::Phase::before: {
            auto begun = begin(callbacks_.change, callbacks_.deadline_ns);
            if (!begun) return give_up(begun.error());
            callbacks_.phase = Callbacks::Phase::none;
            return decide({});
        }
        case Callbacks::Phase::after:
            return conclude();
        case Callbacks::Phase::debts: {
            Patch& debtor = *callbacks_.debtor;
            callbacks_ = {};
            drop(debtor);
            request_search();
            return;
        }
    }
}

// Nothing is live yet; what callbacks have done is undone by theirs.
void Registry::give_up(const Refusal& refusal) {
    callbacks_.phase = Callbacks::Phase::after;
    callbacks_.forward = false;
    callbacks_.refusal = refusal;
}

void Registry::conclude() {
    const Change change = callbacks_.change;
    bool forward = callbacks_.forward;
    if (callbacks_.refusal) {
        auto refusal = *callbacks_.refusal;
        Patch& subject = change.subject();
        watch(subject, change.kind != Change::Kind::load && subject.is_on_probation());
        abandon(change);
        decide(std::unexpected(refusal));
        callbacks_ = {};
        return;
    }
    states_of(change).hand_over(forward);
    record_end(*transition_, callbacks_.moves, callbacks_.settled_ns);
    transition_.reset();
    callbacks_ = {};
    finish(change, forward);
    request_search();
}

// The change hasn't begun and won't.
void Registry::abandon(const Change& change) {
    if (change.kind != Change::Kind::load) return;
    Patch& patch = *change.incoming;
    patches_.remove(patch);
    pop_funcs(patch);
    part_from_predecessor(patch);
    // Its constructors and callbacks may have left pointers behind.
    if (patch.object.has_constructors() || !patch.states.empty()) {
        retire(patch);
        request_search();
        return;
    }
    --patch_count_;
    release(patch);
}

void Registry::decide(const RefusalResult<void>& result) {
    outcomes_[callbacks_.ticket % kOutcomes] = {callbacks_.ticket, result};
    if (!callbacks_.is_parked) return;
    // Whoever asked has gone on; a load's name is the one thing that is left of it.
    const Refusal* refusal = result ? nullptr : &result.error();
    bool is_load = callbacks_.change.kind == Change::Kind::load;
    if (refusal != nullptr)
        record_refusal(is_load ? HistoryEvent::refused : HistoryEvent::stuck, callbacks_.subject_name.view(),
                       callbacks_.signer, *refusal);
}

void Registry::hand_out(u64* ticket, const RefusalResult<void>& result) {
    // One that couldn't begin is undone first, and refused then.
    bool goes_on = callbacks_.phase == Callbacks::Phase::before || callbacks_.refusal;
    bool is_undecided = result && goes_on && !callbacks_.is_parked;
    if (is_undecided) {
        callbacks_.is_parked = true;
        callbacks_.subject_name.assign(callbacks_.change.subject().texts.name);
        callbacks_.signer = callbacks_.change.subject().signer;
    }
    if (ticket != nullptr) *ticket = is_undecided ? callbacks_.ticket : 0;
}

std::optional<RefusalResult<void>> Registry::outcome(u64 ticket) {
    MachineGuard guard(machine_);
    bool is_undecided = callbacks_.ticket == ticket && callbacks_.phase != Callbacks::Phase::none;
    if (is_undecided) return std::nullopt;
    const Outcome& outcome = outcomes_[ticket % kOutcomes];
    return outcome.ticket == ticket ? outcome.result : RefusalResult<void>();
}

// Takes a change back that waits for a callback, as soon as that has returned. False: there is none of this patch.
bool Registry::cancel(const Patch& patch) {
    if (callbacks_.phase != Callbacks::Phase::before || &callbacks_.change.subject() != &patch) return false;
    callbacks_.cancelled = true;
    return true;
}

// Nobody goes back to this patch any more: it is dropped, and what its states have left with it.
void Registry::pay_debts(Patch& patch) {
    callbacks_ = {};
    callbacks_.phase = Callbacks::Phase::debts;
    callbacks_.debtor = &patch;
    drive_callbacks();
}

void Registry::report_overdue(u64 now) {
    if (!callbacks_.step || callbacks_.overdue) return;
    if (now - callbacks_.step_began_ns < callbacks_.step.state->time_limit_ns) return;
    callbacks_.overdue = true;
    Text<512> line;
    append_callback(line, owner_of(*callbacks_.step.state).texts.name, callbacks_.step);
    line.append(" is past its time of ", callbacks_.step.state->time_limit_ns / 1'000'000, " ms and goes on");
    machine_.log(LogLevel::warning, line.view());
}

// ---- views ----------------------------------------------------------------------------------------------------------

// Of a state whose callback runs.
Patch& Registry::owner_of(const State& state) const {
    auto has = [&](const Patch* patch) {
        return patch != nullptr && &state >= patch->states.begin() && &state < patch->states.end();
    };
    if (has(callbacks_.debtor)) return *callbacks_.debtor;
    const Change& change = callbacks_.change;
    if (has(change.incoming)) return *change.incoming;
    GRAFT_ASSERT(change.outgoing != nullptr);
    return has(change.outgoing) ? *change.outgoing : *change.outgoing->predecessor;
}

bool Registry::visit_states(std::string_view name, StateVisitor& visitor) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return false;
    for (const State& state : patch->states) {
        StateView view;
        view.id = state.id;
        view.version = state.version;
        view.name = state.name.view();
        view.stage = patch::name_of(state.stage);
        view.irreversible = state.irreversible;
        for (Patch& other : patches_) {
            const State* same = other.find_state(state.id);
            if (same != nullptr && same->stage != StateStage::absent) view.owner = other.texts.name;
        }
        visitor.state(view);
    }
    return true;
}

std::optional<CallbackView> Registry::callback() {
    MachineGuard guard(machine_);
    if (!callbacks_.step) return std::nullopt;
    CallbackView view;
    view.patch.assign(owner_of(*callbacks_.step.state).texts.name);
    view.state.assign(callbacks_.step.state->name.view());
    view.callback = name_of(callbacks_.step.which);
    view.running_ns = machine_.now_ns() - callbacks_.step_began_ns;
    view.overdue = callbacks_.overdue;
    return view;
}

bool Registry::is_idle() {
    MachineGuard guard(machine_);
    return !transition_ && callbacks_.phase == Callbacks::Phase::none;
}

}  // namespace graft::patch
