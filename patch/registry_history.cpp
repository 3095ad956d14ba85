// What the registry writes down: history and log.
#include "patch/registry.h"

namespace graft::patch {

namespace {

std::string_view name_of(const Patch* patch) {
    return patch != nullptr ? patch->texts.name : std::string_view();
}

}  // namespace

usize Registry::read_history(u64 from, std::span<HistoryRecord> out, u64& last) {
    MachineGuard guard(machine_);
    last = history_.last_number();
    return history_.read(from, out);
}

u64 Registry::unauthenticated_refusals() {
    MachineGuard guard(machine_);
    return unauthenticated_refusals_;
}

void Registry::record(HistoryEvent event, const Patch& patch, std::string_view other) {
    HistoryRecord entry;
    entry.event = event;
    entry.patch.assign(patch.texts.name);
    entry.signer.assign(patch.signer);
    entry.other.assign(other);
    if (transition_) entry.turns = transition_->turns();
    publish(entry);
}

void Registry::record_start(const Change& change) {
    constexpr std::array kEvents = {HistoryEvent::load_started, HistoryEvent::unload_started,
                                    HistoryEvent::rollback_started};
    record(kEvents[static_cast<usize>(change.kind)], change.subject(), name_of(change.other()));
}

void Registry::record_refusal(HistoryEvent event, std::string_view patch, std::string_view signer,
                              const Refusal& refusal) {
    HistoryRecord entry;
    entry.event = event;
    entry.patch.assign(patch);
    entry.signer.assign(signer);
    entry.refusal = refusal;
    publish(entry);
}

void Registry::record_end(const Transition& transition, const MoveCounts& moves, u64 settled_ns) {
    const Change& change = transition.change();
    const Patch& subject = transition.subject();
    bool is_rollback = change.kind == Change::Kind::rollback;
    HistoryRecord entry;
    entry.event = HistoryEvent::unloaded;
    if (is_rollback) entry.event = HistoryEvent::rolled_back;
    if (transition.is_appearing()) entry.event = HistoryEvent::loaded;
    entry.patch.assign(subject.texts.name);
    entry.signer.assign(subject.signer);
    if (entry.event == HistoryEvent::rolled_back) entry.other.assign(name_of(change.other()));
    entry.turns = transition.turns();
    entry.duration_ns = settled_ns - transition.began_ns();
    entry.moves = moves;
    bool begins_probation = change.kind == Change::Kind::load && transition.is_forward();
    if (begins_probation) entry.probation_ns = subject.probation_ns;
    publish(entry);
    if (!change.is_replace() || !transition.is_forward()) return;
    auto event = subject.probation_ns != 0 ? HistoryEvent::dormant : HistoryEvent::replaced;
    record(event, *change.other(), subject.texts.name);
}

void Registry::record_tasks(HistoryEvent event, u64 tasks) {
    HistoryRecord entry;
    entry.event = event;
    entry.patch.assign(transition_->subject().texts.name);
    entry.signer.assign(transition_->subject().signer);
    entry.tasks = tasks;
    publish(entry);
}

void Registry::record_holder(const Holder& holder) {
    HistoryRecord entry;
    entry.event = HistoryEvent::held;
    entry.patch.assign(transition_->subject().texts.name);
    entry.signer.assign(transition_->subject().signer);
    entry.task = holder.task;
    entry.other.assign(holder.name);
    entry.function.assign(holder.function);
    publish(entry);
}

void Registry::record_fault(const Patch& patch, const FaultReport& report, FaultAnswer answer) {
    constexpr std::array<std::string_view, 4> kThen = {"reversed", "rolled-back", "leaves", "stays"};
    HistoryRecord entry;
    entry.event = HistoryEvent::fault;
    entry.patch.assign(patch.texts.name);
    entry.signer.assign(patch.signer);
    entry.task = report.task;
    entry.other.assign(report.task_name);
    entry.kind.assign(report.kind);
    entry.place = report.place.value;
    entry.function.assign(report.function);
    entry.then = kThen[static_cast<usize>(answer)];
    publish(entry);
}

void Registry::record_lingering(const Patch& patch) {
    HistoryRecord entry;
    entry.event = HistoryEvent::lingers;
    entry.patch.assign(patch.texts.name);
    entry.signer.assign(patch.signer);
    entry.place = patch.places[0].place.value;
    entry.word = patch.places[0].word;
    entry.references = patch.reference_count;
    publish(entry);
}

// Of the canary that runs.
void Registry::record_share(HistoryEvent event) {
    HistoryRecord entry;
    entry.event = event;
    entry.patch.assign(transition_->subject().texts.name);
    entry.signer.assign(transition_->subject().signer);
    entry.policy = transition_->subject().canary;
    entry.share = machine_.share();
    publish(entry);
}

void Registry::publish(HistoryRecord entry) {
    entry.time_ns = machine_.now_ns();
    history_.add(entry);
    machine_.history_grew();

    Text<768> line;
    line.append("patch ", entry.patch.empty() ? std::string_view("(unnamed)") : entry.patch.view(), ": ",
                name_of(entry.event));
    bool is_refusal = entry.event == HistoryEvent::refused || entry.event == HistoryEvent::stuck;
    if (is_refusal) {
        line.append(": ");
        render(entry.refusal, line);
    }
    if (entry.event == HistoryEvent::lingers) {
        line.append(": ", hex(entry.word), " stands at ", hex(entry.place), ", ", entry.references, " such places");
    }
    if (entry.policy) {
        line.append(", ");
        render(entry.policy, line);
        line.append(", ", entry.share.moved, " of ", entry.share.total, " tasks");
    }
    if (entry.event == HistoryEvent::held) {
        line.append(" by task ", entry.task, " (", entry.other.view(), ") in ", entry.function.view());
    } else if (entry.event == HistoryEvent::fault) {
        line.append(": ", entry.kind.view(), " at ", entry.function.view(), ", task ", entry.task, " (",
                    entry.other.view(), ") is stopped; ", entry.then);
    } else if (!entry.other.empty()) {
        line.append(", ", entry.other.view());
    }
    bool is_warning = is_refusal || entry.event == HistoryEvent::fault;
    machine_.log(is_warning ? LogLevel::warning : LogLevel::info, line.view());
}

}  // namespace graft::patch
