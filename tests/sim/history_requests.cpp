// The requests of a history, and what each must lead to.
#include <array>

#include "tests/sim/history_definitions.h"
#include "tests/sim/history_run.h"

namespace graft::sim {

using namespace patch;

// Makes a request, during which some call of the machine's may fail, and compares what it leads to.
bool HistoryRun::ask(const Expected& expected, FunctionRef<RefusalResult<void>()> make) {
    if (can_fail_ && random_.percent(20)) machine_.fail_after(1 + random_.below(30));
    machine_.forget_failure();
    Ledger before = machine_.ledger();
    VisiblePatches visible_before = look();
    u64 alarm = machine_.alarm_ns;
    u64 turns = model_.change() != nullptr ? model_.change()->turns : 0;
    bool had_change = model_.change() != nullptr;
    bool was_canary = had_change && model_.change()->canary;
    RefusalResult<void> result = make();
    machine_.fail_after(0);
    model_.wish({});
    if (!good()) return false;
    u64 turned = had_change && model_.change() != nullptr ? model_.change()->turns - turns : 0;
    if (result) {
        if (expected.answer == Answer::refused)
            violate("accepted, though it had to be refused: " + std::string(name_of(expected.code)));
        if (turned != (expected.answer == Answer::turns ? 1u : 0u)) violate("it turned, or didn't");
        bool begins = !had_change && model_.change() != nullptr;
        if (begins != (expected.answer == Answer::starts)) violate("a transition began, or didn't");
        bool promotes = was_canary && !model_.change()->canary;
        if (promotes != (expected.answer == Answer::promotes)) violate("a canary was promoted, or wasn't");
        return good();
    }
    ++result_.refused[static_cast<usize>(result.error().code)];
    if (machine_.has_failed()) {
        ++count(Happening::request_failed);
    } else if (expected.answer != Answer::refused || expected.code != result.error().code) {
        violate("refused with " + std::string(name_of(result.error().code)) + ", expected " +
                (expected.answer == Answer::refused ? std::string(name_of(expected.code)) : "no refusal"));
    }
    bool is_same = machine_.ledger() == before && look().told == visible_before.told && turned == 0 &&
                   machine_.alarm_ns == alarm && had_change == (model_.change() != nullptr);
    if (!is_same) violate("a refusal left something behind");
    return false;
}

void HistoryRun::load(int patch) {
    const PatchDefinition& definition = model_.definition(patch);
    bool is_wrong = random_.percent(6) && definition.claims() != 0;
    Bytes spoiled = is_wrong ? make_file(image_, definition, true) : Bytes();
    LoadOptions options;
    if (random_.percent(55)) options.probation_ns = (1 + random_.below(30)) * kMoment;
    if (random_.percent(40)) options.deadline_ns = (1 + random_.below(12)) * kMoment;
    if (random_.percent(40)) options.canary = some_canary();
    Expected expected = model_.expect_load(patch, is_wrong);
    bool is_canary = static_cast<bool>(options.canary);
    model_.wish({true, ChangeKind::load, definition.set, patch, options.deadline_ns, options.probation_ns, is_canary});
    (void)ask(expected, [&] { return registry_->load(is_wrong ? spoiled : files_[index(patch)], {}, options); });
}

CanaryPolicy HistoryRun::some_canary() {
    constexpr std::array<u8, 4> kShares = {1, 25, 50, 100};
    CanaryPolicy policy;
    policy.kind = static_cast<CanaryPolicy::Kind>(1 + random_.below(3));
    policy.percent = kShares[random_.below(kShares.size())];
    policy.pattern.assign(random_.percent(70) ? "web-*" : "?o*-?");
    return policy;
}

void HistoryRun::promote(int patch) {
    Wish wish;
    wish.promotion = true;
    wish.deadline = some_deadline();
    model_.wish(wish);
    if (ask(model_.expect_promote(patch), [&] { return registry_->promote(name(patch), wish.deadline); }))
        ++count(Happening::canary_promoted);
}

void HistoryRun::abort(int patch) {
    const ModelChange change = *model_.change();
    bool expected = change.is_limited() && patch == change.after;
    bool done = registry_->abort_canary(name(patch), "simulated");
    if (!good()) return;
    if (done != expected) return violate("a canary is aborted that can't be, or one isn't");
    if (done != (model_.change()->turns != change.turns)) return violate("an aborted canary hasn't turned");
    if (done) note_turn();
}

void HistoryRun::unregister(int patch) {
    u64 deadline = some_deadline();
    model_.wish({true, ChangeKind::unload, model_.definition(patch).set, kNobody, deadline});
    if (ask(model_.expect_unregister(patch), [&] { return registry_->unregister(name(patch), deadline); })) note_turn();
}

void HistoryRun::reverse(int patch) {
    if (ask(model_.expect_reverse(patch), [&] { return registry_->reverse(name(patch)); })) note_turn();
}

void HistoryRun::roll_back(int patch) {
    u64 deadline = some_deadline();
    model_.wish({true, ChangeKind::rollback, model_.definition(patch).set, kNobody, deadline});
    (void)ask(model_.expect_rollback(patch), [&] { return registry_->rollback(name(patch), deadline); });
}

void HistoryRun::commit(int patch) {
    machine_.commits(true);
    if (ask(model_.expect_commit(patch), [&] { return registry_->commit(name(patch)); })) {
        model_.end_probation(model_.definition(patch).set);
        ++count(Happening::committed);
    }
    machine_.commits(false);
}

void HistoryRun::force(int patch) {
    if (!ask(model_.expect_force(patch), [&] { return registry_->force(name(patch)); })) return;
    model_.force();
    ++count(Happening::forced);
    was_forced_ = true;
    if (machine_.started_tasks_to_move() != 0) violate("force has left tasks to be moved");
}

void HistoryRun::withdraw(int patch) {
    bool expected = model_.expect_withdraw(patch);
    const ModelChange* change = model_.change();
    bool is_loading = change != nullptr && change->is_about(patch);
    u64 turns = change != nullptr ? change->turns : 0;
    bool gives_way = change != nullptr && change->is_limited() && !is_loading && expected;
    if (expected && !is_loading) model_.set_due(model_.definition(patch).set);
    if (can_fail_ && random_.percent(20)) machine_.fail_after(1 + random_.below(6));
    machine_.forget_failure();
    bool done = has(Defect::withdrawal_lost) && !is_loading ? expected : registry_->withdraw(name(patch), "simulated");
    machine_.fail_after(0);
    if (!good()) return;
    if (done != expected) return violate("a withdrawal that can't be, or one that is refused");
    if (!done) return;
    if (is_loading) {
        if (model_.change()->turns != turns + 1) return violate("a withdrawn load hasn't turned");
        ++count(Happening::withdrawn_load);
        return note_turn();
    }
    if (gives_way != (model_.change() != nullptr && model_.change()->turns != turns))
        return violate("a canary doesn't give way to a rollback, or something else does");
    if (gives_way) {
        ++count(Happening::canary_gave_way);
        note_turn();
    }
    check_due_rollback();
}

// A fault happens now and is told of a while later.
void HistoryRun::fault() {
    if (!stopped_) {
        stopped_ = machine_.fault();
        return;
    }
    SimFault fault = *std::exchange(stopped_, std::nullopt);
    if (machine_.code_at(fault.code) == nullptr) return violate("a patch has gone under a task that was stopped");
    answer(fault);
    machine_.end_stopped(fault);
}

void HistoryRun::answer(const SimFault& fault) {
    const ModelChange* change = model_.change();
    bool turns = change != nullptr && change->is_about(fault.patch) && model_.expect_withdraw(fault.patch);
    bool is_due = !turns && model_.expect_withdraw(fault.patch);
    u64 before = change != nullptr ? change->turns : 0;
    if (is_due) model_.set_due(model_.definition(fault.patch).set);
    machine_.forget_failure();
    if (can_fail_ && random_.percent(20)) machine_.fail_after(1 + random_.below(6));
    FaultReport report;
    report.code = fault.code;
    report.task = fault.task;
    auto expected = turns ? FaultAnswer::reversed : is_due ? FaultAnswer::rolled_back : FaultAnswer::leaves;
    auto answered = has(Defect::fault_forgotten) ? expected : registry_->report_fault(report);
    machine_.fail_after(0);
    if (!good()) return;
    bool is_late = expected == FaultAnswer::leaves && answered == FaultAnswer::stays;
    if (answered != expected && !is_late) return violate("a fault's answer isn't what it must be");
    if (turns && model_.change()->turns != before + 1) return violate("a fault hasn't turned the transition");
    count(turns ? Happening::fault_turned : is_due ? Happening::fault_rolled_back : Happening::fault_on_way_out)++;
    if (turns) note_turn();
    if (is_due) check_due_rollback();
}

void HistoryRun::plan(int patch) {
    class Sink final : public PlanSink {
    public:
        void patch(const PatchView&) override {}
        void function(const FunctionView&) override {}
        void holder(u64, Verdict::Kind) override {}
        void refusal(const Refusal& refusal) override { first = first ? first : std::optional(refusal.code); }
        std::optional<RefusalCode> first;
    } sink;
    Ledger before = machine_.ledger();
    registry_->plan(files_[index(patch)], {}, {}, sink);
    if (machine_.ledger() != before) violate("a plan changed something");
    bool loads = model_.expect_load(patch, false).answer == Answer::starts;
    if (loads != !sink.first) violate("a plan says something else than the load would");
}

void HistoryRun::search() {
    machine_.searched();
    u64 freed = registry_->retry_lingering();
    count(Happening::freed_later) += freed;
}

}  // namespace graft::sim
