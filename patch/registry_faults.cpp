// Faults in patches' code that the machine has contained: which patches it contains them for, and what follows.
#include "patch/registry.h"

namespace graft::patch {

void Registry::watch(Patch& patch, bool is_watched) {
    AddressRange text = patch.object.memory().text;
    if (patch.is_watched == is_watched || text.empty()) return;
    patch.is_watched = is_watched;
    machine_.watch_faults(text, is_watched);
}

Patch* Registry::find_by_code(VirtAddr code) {
    for (auto* list : {&patches_, &dormant_, &lingering_}) {
        for (Patch& patch : *list) {
            if (patch.object.contains(code)) return &patch;
        }
    }
    return nullptr;
}

FaultAnswer Registry::report_fault(const FaultReport& report) {
    MachineGuard guard(machine_);
    Patch* patch = find_by_code(report.code);
    if (patch == nullptr) return FaultAnswer::stays;
    ++patch->faults;
    FaultAnswer answer = answer_to_fault(*patch);
    record_fault(*patch, report, answer);
    Text<200> reason;
    reason.append("a fault in task ", report.task, " (", report.task_name, ")");
    if (answer == FaultAnswer::reversed || answer == FaultAnswer::rolled_back) take_back(*patch, reason.view());
    set_alarm();
    return answer;
}

FaultAnswer Registry::answer_to_fault(const Patch& patch) const {
    switch (way_back_of(patch)) {
        case WayBack::turn:
            return FaultAnswer::reversed;
        case WayBack::rollback:
            return FaultAnswer::rolled_back;
        case WayBack::none:
            break;
    }
    bool is_leaving = patch.rollback_due || patch.stage == Stage::disappearing || patch.stage == Stage::loading ||
                      patch.stage == Stage::dormant || patch.stage == Stage::lingering;
    return is_leaving ? FaultAnswer::leaves : FaultAnswer::stays;
}

u64 Registry::contained_faults(std::string_view name) {
    MachineGuard guard(machine_);
    const Patch* patch = find_registered(name);
    return patch != nullptr ? patch->faults : 0;
}

// ---- the way back by itself -----------------------------------------------------------------------------------------

Registry::WayBack Registry::way_back_of(const Patch& patch) const {
    if (patch.rollback_due) return WayBack::none;
    bool is_appearing = transition_ && &transition_->subject() == &patch && transition_->is_appearing();
    if (is_appearing && is_moving()) return WayBack::turn;
    // All have moved, and it has callbacks to run yet: it will be on probation at once, or is it again.
    bool begins_probation = transition_ && transition_->change().kind == Change::Kind::load && patch.probation_ns != 0;
    bool is_about_to = is_appearing && (begins_probation || patch.is_on_probation());
    bool is_settled = patch.stage == Stage::enabled && patch.is_on_probation();
    return is_about_to || is_settled ? WayBack::rollback : WayBack::none;
}

bool Registry::take_back(Patch& patch, std::string_view reason) {
    WayBack way = way_back_of(patch);
    if (way == WayBack::none) return false;
    bool is_abort = way == WayBack::turn && is_held_canary();
    record(is_abort ? HistoryEvent::aborted : HistoryEvent::withdrawn, patch, reason);
    if (way == WayBack::turn) {
        turn();
    } else {
        patch.rollback_due = true;
        start_due_rollback();
    }
    return true;
}

bool Registry::withdraw(std::string_view name, std::string_view reason) {
    MachineGuard guard(machine_);
    Patch* patch = find_registered(name);
    bool is_taken_back = patch != nullptr && take_back(*patch, reason);
    set_alarm();
    return is_taken_back;
}

}  // namespace graft::patch
