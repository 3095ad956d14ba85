// Probation: the way back to the predecessor, on request and by itself, and its end. And what happens at a time.
#include "patch/registry.h"

namespace graft::patch {

namespace {

constexpr u64 kRetryNs = 1'000'000'000;  // a rollback that is due and couldn't begin

}  // namespace

RefusalResult<void> Registry::rollback(std::string_view name, u64 deadline_ns, u64* ticket) {
    MachineGuard guard(machine_);
    auto result = [&]() -> RefusalResult<void> {
        Patch* patch = find_registered(name);
        if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
        if (!patch->is_on_probation()) return refuse(RefusalCode::not_on_probation, name);
        GRAFT_CHECK(check_idle());
        return start_rollback(*patch, deadline_ns);
    }();
    hand_out(ticket, result);
    set_alarm();
    return result;
}

RefusalResult<void> Registry::start_rollback(Patch& patch, u64 deadline_ns) {
    GRAFT_CHECK(start({Change::Kind::rollback, patch.predecessor, &patch}, deadline_ns));
    patch.rollback_due = false;
    return {};
}

RefusalResult<void> Registry::commit(std::string_view name) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    if (patch == nullptr) return refuse(RefusalCode::unknown_patch, name);
    if (!patch->is_on_probation()) return refuse(RefusalCode::not_on_probation, name);
    if (patch->is_in_transition()) return refuse(RefusalCode::transition_running, name, 0, 0, 0, name);
    if (patch->rollback_due) return refuse(RefusalCode::rollback_due, name, 0, 0, 0, name);
    GRAFT_CHECK(check_no_callback());
    GRAFT_CHECK(end_measuring(*patch));
    end_probation(*patch);
    set_alarm();
    return {};
}

void Registry::end_probation(Patch& patch) {
    patch.probation_end_ns = 0;
    watch(patch, false);
    Patch* predecessor = patch.predecessor;
    record(HistoryEvent::committed, patch, predecessor != nullptr ? predecessor->texts.name : std::string_view());
    if (predecessor != nullptr) pay_debts(*predecessor);
}

// ---- by itself ------------------------------------------------------------------------------------------------------

// A rollback that acts by itself waits for another set's transition and is the next one then. It doesn't wait for
// somebody to decide about a canary.
void Registry::start_due_rollback() {
    if (callbacks_.phase != Callbacks::Phase::none) return;
    for (Patch& patch : patches_) {
        if (!patch.rollback_due) continue;
        if (transition_) return make_way(patch.texts.name);
        auto started = start_rollback(patch, 0);
        hand_out(nullptr, started);
        if (!started && !patch.rollback_told)
            record_refusal(HistoryEvent::stuck, patch.texts.name, patch.signer, started.error());
        patch.rollback_told = true;
        if (!started) rollback_retry_ns_ = machine_.now_ns() + kRetryNs;
        return;
    }
}

RefusalResult<void> Registry::check_no_rollback_due() {
    for (Patch& patch : patches_) {
        if (patch.rollback_due) return refuse(RefusalCode::rollback_due, {}, 0, 0, 0, patch.texts.name);
    }
    return {};
}

// ---- at a time ------------------------------------------------------------------------------------------------------

void Registry::tick() {
    check_health();
    MachineGuard guard(machine_);
    alarm_ = kNoAlarm;  // it has gone off
    u64 now = machine_.now_ns();
    health_due_ns_ = now + kHealthPeriodNs;
    report_overdue(now);
    if (is_moving() && run_.deadline_at_ns != 0 && run_.deadline_at_ns <= now) expire();
    start_due_rollback();
    for (Patch& patch : patches_) {
        if (!is_probation_over(patch, now)) continue;
        if (end_measuring(patch)) {
            end_probation(patch);
        } else {
            patch.probation_end_ns = now + kRetryNs;
        }
    }
    set_alarm();
}

// Not while it is in a transition, which may lead back, nor when it is about to be.
bool Registry::is_probation_over(const Patch& patch, u64 now) const {
    return patch.is_on_probation() && patch.stage == Stage::enabled && !patch.rollback_due &&
           patch.probation_end_ns <= now && callbacks_.phase == Callbacks::Phase::none;
}

// After whatever may have changed what is due next.
void Registry::set_alarm() {
    bool has_callback = callbacks_.phase != Callbacks::Phase::none;
    u64 next = is_moving() && run_.deadline_at_ns != 0 ? run_.deadline_at_ns : kNoAlarm;
    auto take = [&](u64 at) { next = at < next ? at : next; };
    if (callbacks_.step && !callbacks_.overdue) take(callbacks_.step_began_ns + callbacks_.step.state->time_limit_ns);
    for (Patch& patch : patches_) {
        if (is_watched_by_rules(patch)) take(health_due_ns_);
        if (has_callback) break;  // the end of it comes first
        if (patch.rollback_due) {
            if (!transition_) take(rollback_retry_ns_);
        } else if (patch.is_on_probation() && patch.stage == Stage::enabled) {
            take(patch.probation_end_ns);
        }
    }
    if (next == alarm_) return;
    alarm_ = next;
    machine_.set_alarm(next);
}

}  // namespace graft::patch
