// What becomes due in a history: deadlines, the ends of probations, and rollbacks by themselves.
#include <array>

#include "tests/sim/history_run.h"

namespace graft::sim {

using namespace patch;

// A rollback by itself is the next transition when none runs.
void HistoryRun::check_due_rollback() {
    if (model_.change() != nullptr || !model_.is_rollback_due()) return;
    if (!machine_.has_failed()) return violate("a rollback that is due doesn't begin");
    ++count(Happening::rollback_failed);
}

void HistoryRun::pass_time() {
    machine_.advance(random_.percent(8) ? kLongTime : (1 + random_.below(8)) * kMoment);
    ring();
}

bool HistoryRun::is_deadline_over(u64 now) const {
    const ModelChange* change = model_.change();
    return change != nullptr && change->deadline_at != 0 && change->deadline_at <= now;
}

// The worker's call at the time that the core asked for.
void HistoryRun::ring() {
    u64 now = machine_.clock();
    bool is_deadline = is_deadline_over(now);
    bool leads_back = is_deadline && !model_.change()->forward;
    std::array<bool, kSets> is_over{};
    bool is_any_over = false;
    for (usize set = 0; set < kSets; ++set) {
        is_over[set] = model_.is_probation_over(set, now);
        is_any_over = is_any_over || is_over[set];
    }
    if (machine_.alarm_ns > now) {
        if (is_deadline || is_any_over) violate("a time has passed, and no alarm was set");
        return;
    }
    u64 turns = model_.change() != nullptr ? model_.change()->turns : 0;
    machine_.alarm_ns = kNoAlarm;
    machine_.forget_failure();
    if (can_fail_ && random_.percent(10)) machine_.fail_after(1 + random_.below(8));
    registry_->tick();
    machine_.fail_after(0);
    if (!good()) return;
    for (usize set = 0; set < kSets; ++set) {
        if (is_over[set]) note_expiry(set, now);
    }
    check_due_rollback();
    // One that passes on the way back has passed.
    if (is_deadline && model_.change() != nullptr) model_.forget_deadline();
    check_deadline(is_deadline && !leads_back, turns);
}

// A probation whose measuring can't be ended goes on for a while.
void HistoryRun::note_expiry(usize set, u64 now) {
    std::string prefix = std::string(name(model_.set(set).current)) + " ";
    bool goes_on = false;
    for (const std::string& told : look().told)
        goes_on = goes_on || (told.starts_with(prefix) && told.ends_with(" on probation"));
    if (!goes_on) {
        model_.end_probation(set);
        ++count(Happening::expired);
    } else if (machine_.has_failed()) {
        model_.prolong_probation(set, now);
    } else {
        violate("a probation is over and goes on");
    }
}

void HistoryRun::check_deadline(bool is_deadline, u64 turns) {
    const ModelChange* change = model_.change();
    if (change == nullptr) return;
    if (change->turns != turns) {
        if (!is_deadline) return violate("it turned before its deadline");
        ++count(Happening::deadline_turned);
        note_turn();
    } else if (is_deadline && machine_.tasks_to_move() != 0 && !look().share_has_moved) {
        return violate("a deadline has passed, and nothing turned");
    }
}

}  // namespace graft::sim
