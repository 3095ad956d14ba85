// Transitions: their beginning, what is done to a running one, and their end.
#include "patch/registry.h"

namespace graft::patch {

namespace {

constexpr u64 kDrainReportNs = 5'000'000'000;

}  // namespace

// ---- beginning ------------------------------------------------------------------------------------------------------

// A deadline of 0: none. All that comes before the first call site is live has been done.
RefusalResult<void> Registry::begin(const Change& change, u64 deadline_ns) {
    auto transition = GRAFT_TRY(Transition::prepare(machine_, change, settled_, forced_texts(change)));
    GRAFT_CHECK(transition->begin());
    transition_ = std::move(transition);
    run_ = {};
    if (deadline_ns != 0) run_.deadline_at_ns = transition_->began_ns() + deadline_ns;
    show_direction();
    if (change.kind == Change::Kind::load) {
        change.incoming->loaded_ns = transition_->began_ns();
        if (change.incoming->nudge_period_ns != 0) machine_.nudge_each(change.incoming->nudge_period_ns);
    }
    if (change.kind == Change::Kind::rollback && change.incoming != nullptr) {
        dormant_.remove(*change.incoming);
        patches_.push_back(*change.incoming);
    }
    record_start(change);
    return {};
}

void Registry::show_direction() {
    if (Patch* winner = transition_->winner()) winner->stage = Stage::appearing;
    if (Patch* loser = transition_->loser()) loser->stage = Stage::disappearing;
}

// Texts of patches that were forced out and may hold a frame of a function that the change is about.
std::span<const AddressRange> Registry::forced_texts(const Change& change) {
    auto shares = [](const Patch& forced, const Patch* patch) {
        if (patch == nullptr || patch == &forced) return false;
        if (patch->texts.set == forced.texts.set) return true;
        for (const Func& func : forced.funcs) {
            if (patch->claims(func.old.entry)) return true;
        }
        return false;
    };
    usize count = 0;
    for (auto* list : {&dormant_, &lingering_}) {
        for (Patch& patch : *list) {
            if (!patch.forced || (!shares(patch, change.incoming) && !shares(patch, change.outgoing))) continue;
            forced_texts_[count++] = patch.object.memory().text;
        }
    }
    return std::span(forced_texts_).first(count);
}

RefusalResult<void> Registry::unregister(std::string_view name, u64 deadline_ns, u64* ticket) {
    MachineGuard guard(machine_);
    auto result = unregister_locked(name, deadline_ns);
    hand_out(ticket, result);
    set_alarm();
    return result;
}

RefusalResult<void> Registry::unregister_locked(std::string_view name, u64 deadline_ns) {
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (patch->stage == Stage::loading && cancel(*patch)) return {};
    if (callbacks_.phase == Callbacks::Phase::after) GRAFT_CHECK(check_no_callback());
    if (patch->stage == Stage::disappearing) {
        if (is_held_canary()) return refuse_canary();
        return refuse(RefusalCode::already_leaving, name);
    }
    if (patch->stage == Stage::appearing) {
        // Of an old set that is on its way back, by a rollback or from a canary: that can be reversed, not unregistered
        // half-way.
        const Change& change = transition_->change();
        bool is_rollback = change.kind == Change::Kind::rollback && patch == change.incoming;
        if (is_rollback || (transition_->is_canary() && patch == change.outgoing)) {
            return refuse(RefusalCode::transition_running, name, 0, 0, 0, transition_->subject().texts.name);
        }
        GRAFT_CHECK(check_moving());
        turn();
        return {};
    }
    GRAFT_CHECK(check_idle());
    GRAFT_CHECK(check_undo(*patch));
    return start({Change::Kind::unload, nullptr, patch}, deadline_ns);
}

// ---- while one runs -------------------------------------------------------------------------------------------------

RefusalResult<void> Registry::reverse(std::string_view name) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (cancel(*patch)) return {};
    if (!patch->is_in_transition()) return refuse(RefusalCode::not_in_transition, name);
    GRAFT_CHECK(check_moving());
    if (transition_->is_canary() && !transition_->is_forward()) GRAFT_CHECK(check_no_rollback_due());
    turn();
    set_alarm();
    return {};
}

void Registry::turn() {
    transition_->turn();
    run_.reported_stuck = false;
    run_.share_has_moved = false;
    show_direction();
    record(HistoryEvent::turned, transition_->subject());
}

RefusalResult<void> Registry::force(std::string_view name) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (!patch->is_in_transition()) return refuse(RefusalCode::not_in_transition, name);
    GRAFT_CHECK(check_moving());
    u64 tasks = machine_.tasks_to_move();
    machine_.force_moves();
    run_.forced[static_cast<usize>(transition_->target())] = true;
    ++taint_.forced;
    taint_.last_forced.assign(transition_->subject().texts.name);
    record_tasks(HistoryEvent::forced, tasks);
    return {};
}

// The deadline has passed. Whoever holds the transition is named before it turns; afterwards others may.
void Registry::expire() {
    run_.deadline_at_ns = 0;
    if (!transition_->is_forward()) return;
    if (machine_.tasks_to_move() == 0) {
        // Now, not when the worker comes to it: a newborn of the share may have to move by then.
        if (is_held_canary()) note_share();
        return;
    }

    class Holders final : public HolderSink {
    public:
        explicit Holders(Registry& registry) : registry_(registry) {}
        void holder(const Holder& holder) override {
            if (++count_ <= kMaxNamedHolders) registry_.record_holder(holder);
        }

    private:
        Registry& registry_;
        usize count_ = 0;
    } holders(*this);
    record_tasks(HistoryEvent::expired, machine_.tasks_to_move());
    machine_.visit_holders(holders);
    turn();
}

// ---- end ------------------------------------------------------------------------------------------------------------

// Is there a transition whose tasks move? Afterwards its sites are settled, and callbacks may run yet.
bool Registry::is_moving() const {
    return transition_ && !transition_->is_settled();
}

// Of a transition: it can still be turned and forced.
RefusalResult<void> Registry::check_moving() const {
    return is_moving() ? RefusalResult<void>() : check_idle();
}

Completion Registry::complete() {
    MachineGuard guard(machine_);
    auto completion = complete_locked();
    if (completion == Completion::done) start_due_rollback();
    set_alarm();
    return completion;
}

Completion Registry::complete_locked() {
    bool had_callback = callbacks_.phase != Callbacks::Phase::none;
    drive_callbacks();
    if (callbacks_.phase != Callbacks::Phase::none) return Completion::not_yet;
    if (!transition_) return had_callback ? Completion::done : Completion::nothing;
    if (!transition_->is_settled()) {
        if (machine_.tasks_to_move() != 0) return Completion::not_yet;
        if (is_held_canary()) {
            note_share();
            return Completion::not_yet;
        }
    }
    if (auto completion = settle(); completion != Completion::done) return completion;
    MoveCounts moves = machine_.moves();
    if (auto completion = drain(); completion != Completion::done) return completion;

    settled_ = transition_->target();
    if (Patch* loser = transition_->loser(); loser != nullptr && run_.is_forced(transition_->target()))
        loser->forced = true;
    callbacks_ = {};
    callbacks_.phase = Callbacks::Phase::after;
    callbacks_.change = transition_->change();
    callbacks_.forward = transition_->is_forward();
    callbacks_.moves = moves;
    callbacks_.settled_ns = machine_.now_ns();
    drive_callbacks();
    return callbacks_.phase == Callbacks::Phase::none ? Completion::done : Completion::not_yet;
}

Completion Registry::settle() {
    if (transition_->is_settled()) return Completion::done;
    auto settled = transition_->settle();
    if (settled) {
        run_.drain_report_ns = machine_.now_ns() + kDrainReportNs;
        return Completion::done;
    }
    if (!run_.reported_stuck)
        record_refusal(HistoryEvent::stuck, transition_->subject().texts.name, transition_->subject().signer,
                       settled.error());
    run_.reported_stuck = true;
    return Completion::stuck;
}

// The lock isn't held between two tries: whatever else is asked for goes on meanwhile.
Completion Registry::drain() {
    if (transition_->end()) return Completion::done;
    u64 now = machine_.now_ns();
    if (now < run_.drain_report_ns) return Completion::draining;
    run_.drain_report_ns = now + kDrainReportNs;
    Text<256> line;
    line.append(transition_->subject().texts.name, ": a stack that can't be walked holds a trampoline's address");
    machine_.log(LogLevel::warning, line.view());
    return Completion::draining;
}

void Registry::finish(const Change& change, bool forward) {
    Patch* winner = forward ? change.incoming : change.outgoing;
    Patch* loser = forward ? change.outgoing : change.incoming;
    if (winner != nullptr) {
        winner->stage = Stage::enabled;
        watch(*winner,
              winner->is_on_probation() || (change.kind == Change::Kind::load && winner->probation_ns != 0 && forward));
        winner->forced = false;
        set_versions_.raise(std::move(winner->set_version));
    }
    switch (change.kind) {
        case Change::Kind::load:
            if (Patch& subject = change.subject(); forward && subject.probation_ns != 0) {
                subject.probation_end_ns = machine_.now_ns() + subject.probation_ns;
                if (loser != nullptr) make_dormant(*loser);
                return;
            }
            change.subject().is_measured = false;
            if (loser != nullptr) drop(*loser);
            return;
        case Change::Kind::unload:
            if (!forward) return;
            // What it replaced goes with it: nobody could go back to that any more.
            if (Patch* predecessor = loser->predecessor) drop(*predecessor);
            drop(*loser);
            return;
        case Change::Kind::rollback:
            if (forward) {
                drop(*loser);
            } else if (loser != nullptr) {
                make_dormant(*loser);
            }
            return;
    }
}

void Registry::make_dormant(Patch& patch) {
    watch(patch, false);
    patches_.remove(patch);
    patch.stage = Stage::dormant;
    dormant_.push_back(patch);
}

// Out of force for good: off the func stacks, off its list, away from its neighbour of the set.
void Registry::drop(Patch& patch) {
    watch(patch, false);
    part_from_predecessor(patch.successor != nullptr ? *patch.successor : patch);
    pop_funcs(patch);
    (patch.stage == Stage::dormant ? dormant_ : patches_).remove(patch);
    patch.probation_end_ns = 0;
    patch.rollback_due = false;
    patch.is_measured = false;
    retire(patch);
}

}  // namespace graft::patch
