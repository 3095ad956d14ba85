#include "tests/sim/history.h"

#include <algorithm>
#include <utility>

#include "patch/registry.h"
#include "tests/sim/history_definitions.h"
#include "tests/sim/sim_machine.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr int kMostRounds = 500;
constexpr u64 kMoment = 1'000'000;        // far more than the calls of now_ns() in one history
constexpr u64 kLongTime = 2'500'000'000;  // more than the core waits before it tries again
constexpr usize kThousands = 1000;

class Visible final : public PatchVisitor, public FunctionVisitor {
public:
    void patch(const PatchView& view) override {
        patches.emplace_back(view.name);
        told.push_back(std::string(view.name) + " " + std::string(name_of(view.stage)) + " " +
                       std::string(view.dormant) + (view.on_probation ? " on probation" : ""));
        in_force += view.enabled ? 1 : 0;
        share_has_moved = share_has_moved || (view.canary.has_moved && !view.canary.promoted);
    }
    void function(const FunctionView& view) override {
        if (view.patched) sites[view.entry] = view.new_function;
    }
    std::vector<std::string> patches;
    std::vector<std::string> told;
    std::map<VirtAddr, VirtAddr> sites;
    usize in_force = 0;
    bool share_has_moved = false;  // of a canary that waits for its promotion
};

class History {
public:
    History(SimImage& image, const HistoryOptions& options)
        : random_(options.seed),
          model_(make_definitions(random_)),
          machine_(image, model_, random_, sim_options(options)),
          registry_(Registry::create(machine_)),
          image_(image),
          options_(options) {
        for (auto& definition : model_.definitions()) files_.push_back(make_file(image, definition, false));
    }

    HistoryResult run() {
        before_ = machine_.ledger();
        for (usize i = 0; i < options_.operations && good(); ++i) {
            machine_.run(pause_);
            ring();
            if (good()) operate();
            if (good()) check();
        }
        if (good()) wind_up();
        take_counts();
        if (!good()) result_.violation = machine_.violations.front();
        // After a violation the records don't fit together any more: they are left as they are.
        if (!good()) (void)registry_.give_up();
        return result_;
    }

private:
    SimOptions sim_options(const HistoryOptions& options) {
        SimOptions made;
        made.defect = options.defect;
        bool has_thousands = options.tasks == 0 && options.seed % 1000 == 0;
        made.tasks = has_thousands ? 1000 + random_.below(2000) : 2 + random_.below(15);
        if (options.tasks != 0) made.tasks = options.tasks;
        pause_ = 120 + 2 * made.tasks;
        if (made.tasks >= kThousands) ++count(Happening::thousands);
        made.most_tasks = made.tasks * 2;
        made.fewest_tasks = made.tasks / 2;
        made.processors = 1 + random_.below(5);
        return made;
    }

    bool good() const { return !machine_.broken(); }
    void violate(std::string what) { machine_.violations.push_back(std::move(what)); }
    bool has(Defect defect) const { return options_.defect == defect; }
    u64& count(Happening happening) { return result_.count(happening); }
    std::string_view name(int patch) const { return model_.definition(patch).name; }

    // ---- what is done. Mostly what makes sense at this moment, sometimes anything.

    void operate() {
        const ModelChange* change = model_.change();
        int patch = some_patch();
        if (change != nullptr && random_.percent(75)) {
            patch = change->subject();
            if (change->before != kNobody && change->after != kNobody && random_.percent(25))
                patch = patch == change->before ? change->after : change->before;
        }
        u64 what = random_.below(100);
        if (what < 3) return plan(patch);
        if (what < 6 || (what < 20 && machine_.search_due())) return search();
        if (what < 14) return pass_time();
        if (what < (stopped_ ? 34 : 20)) return fault();
        if (change != nullptr) return steer(patch);
        if (what < 50) return load(some_patch());
        if (what < 66) return roll_back(in_force(patch));
        if (what < 75) return commit(in_force(patch));
        if (what < 82) return withdraw(in_force(patch));
        if (what < 84) return reverse(patch);
        if (what < 86) return force(patch);
        if (what < 87) return promote(patch);
        unregister(in_force(patch));
    }

    // While a change is under way.
    void steer(int patch) {
        if (model_.change()->canary && random_.percent(25)) return random_.percent(80) ? promote(patch) : abort(patch);
        u64 what = random_.below(100);
        if (what < 45) return machine_.worker_due() || what < 5 ? complete() : machine_.run(10 * pause_);
        if (what < 55) return reverse(patch);
        if (what < 60) return unregister(patch);
        if (what < 66) return force(patch);
        if (what < 70) return withdraw(random_.percent(60) ? in_force(some_patch()) : patch);
        if (what < 74) return roll_back(random_.percent(50) ? in_force(some_patch()) : patch);
        if (what < 78) return commit(random_.percent(50) ? in_force(some_patch()) : patch);
        if (what < 82) return load(some_patch());
        machine_.run(10 * pause_);
    }

    int some_patch() { return static_cast<int>(random_.below(model_.definitions().size())); }
    // Mostly the one of its set that is in force.
    int in_force(int patch) {
        int current = model_.set(model_.definition(patch).set).current;
        return current != kNobody && random_.percent(80) ? current : patch;
    }

    // Makes a request, during which some call of the machine's may fail, and compares what it leads to.
    template <typename Request>
    bool ask(const Expected& expected, Request make) {
        if (can_fail_ && random_.percent(20)) machine_.fail_after(1 + random_.below(30));
        machine_.forget_failure();
        Ledger before = machine_.ledger();
        Visible visible_before = look();
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

    void load(int patch) {
        const PatchDefinition& definition = model_.definition(patch);
        bool is_wrong = random_.percent(6) && definition.claims() != 0;
        Bytes spoiled = is_wrong ? make_file(image_, definition, true) : Bytes();
        LoadOptions options;
        if (random_.percent(55)) options.probation_ns = (1 + random_.below(30)) * kMoment;
        if (random_.percent(40)) options.deadline_ns = (1 + random_.below(12)) * kMoment;
        if (random_.percent(40)) options.canary = some_canary();
        Expected expected = model_.expect_load(patch, is_wrong);
        bool is_canary = static_cast<bool>(options.canary);
        model_.wish(
            {true, ChangeKind::load, definition.set, patch, options.deadline_ns, options.probation_ns, is_canary});
        (void)ask(expected, [&] { return registry_->load(is_wrong ? spoiled : files_[index(patch)], {}, options); });
    }

    CanaryPolicy some_canary() {
        constexpr std::array<u8, 4> kShares = {1, 25, 50, 100};
        CanaryPolicy policy;
        policy.kind = static_cast<CanaryPolicy::Kind>(1 + random_.below(3));
        policy.percent = kShares[random_.below(kShares.size())];
        policy.pattern.assign(random_.percent(70) ? "web-*" : "?o*-?");
        return policy;
    }

    void promote(int patch) {
        Wish wish;
        wish.promotion = true;
        wish.deadline = some_deadline();
        model_.wish(wish);
        if (ask(model_.expect_promote(patch), [&] { return registry_->promote(name(patch), wish.deadline); }))
            ++count(Happening::canary_promoted);
    }

    void abort(int patch) {
        const ModelChange change = *model_.change();
        bool expected = change.is_limited() && patch == change.after;
        bool done = registry_->abort_canary(name(patch), "simulated");
        if (!good()) return;
        if (done != expected) return violate("a canary is aborted that can't be, or one isn't");
        if (done != (model_.change()->turns != change.turns)) return violate("an aborted canary hasn't turned");
        if (done) note_turn();
    }

    void unregister(int patch) {
        u64 deadline = some_deadline();
        model_.wish({true, ChangeKind::unload, model_.definition(patch).set, kNobody, deadline});
        if (ask(model_.expect_unregister(patch), [&] { return registry_->unregister(name(patch), deadline); }))
            note_turn();
    }

    void reverse(int patch) {
        if (ask(model_.expect_reverse(patch), [&] { return registry_->reverse(name(patch)); })) note_turn();
    }

    void roll_back(int patch) {
        u64 deadline = some_deadline();
        model_.wish({true, ChangeKind::rollback, model_.definition(patch).set, kNobody, deadline});
        (void)ask(model_.expect_rollback(patch), [&] { return registry_->rollback(name(patch), deadline); });
    }

    void commit(int patch) {
        machine_.commits(true);
        if (ask(model_.expect_commit(patch), [&] { return registry_->commit(name(patch)); })) {
            model_.end_probation(model_.definition(patch).set);
            ++count(Happening::committed);
        }
        machine_.commits(false);
    }

    void force(int patch) {
        if (!ask(model_.expect_force(patch), [&] { return registry_->force(name(patch)); })) return;
        model_.force();
        ++count(Happening::forced);
        was_forced_ = true;
        if (machine_.tasks_to_move() != 0) violate("force has left tasks to be moved");
    }

    void withdraw(int patch) {
        bool expected = model_.expect_withdraw(patch);
        const ModelChange* change = model_.change();
        bool is_loading = change != nullptr && change->is_about(patch);
        u64 turns = change != nullptr ? change->turns : 0;
        bool gives_way = change != nullptr && change->is_limited() && !is_loading && expected;
        if (expected && !is_loading) model_.set_due(model_.definition(patch).set);
        if (can_fail_ && random_.percent(20)) machine_.fail_after(1 + random_.below(6));
        machine_.forget_failure();
        bool done =
            has(Defect::withdrawal_lost) && !is_loading ? expected : registry_->withdraw(name(patch), "simulated");
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
    void fault() {
        if (!stopped_) {
            stopped_ = machine_.fault();
            return;
        }
        SimFault fault = *std::exchange(stopped_, std::nullopt);
        if (machine_.code_at(fault.code) == nullptr) return violate("a patch has gone under a task that was stopped");
        answer(fault);
        machine_.end_stopped(fault);
    }

    void answer(const SimFault& fault) {
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

    u64 some_deadline() { return random_.percent(30) ? (1 + random_.below(12)) * kMoment : 0; }
    static usize index(int patch) { return static_cast<usize>(patch); }

    void note_turn() {
        if (model_.change() == nullptr || model_.change()->turns == 0) return;
        ++count(Happening::turned);
        if (model_.change()->canary) ++count(Happening::canary_turned);
        if (std::exchange(was_forced_, false)) ++count(Happening::turned_after_force);
    }

    // A rollback by itself is the next transition when none runs.
    void check_due_rollback() {
        if (model_.change() != nullptr || !model_.is_rollback_due()) return;
        if (!machine_.has_failed()) return violate("a rollback that is due doesn't begin");
        ++count(Happening::rollback_failed);
    }

    void plan(int patch) {
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

    // ---- time

    void pass_time() {
        machine_.advance(random_.percent(8) ? kLongTime : (1 + random_.below(8)) * kMoment);
        ring();
    }

    bool is_deadline_over(u64 now) const {
        const ModelChange* change = model_.change();
        return change != nullptr && change->deadline_at != 0 && change->deadline_at <= now;
    }

    // The worker's call at the time that the core asked for.
    void ring() {
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
    void note_expiry(usize set, u64 now) {
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

    void check_deadline(bool is_deadline, u64 turns) {
        const ModelChange* change = model_.change();
        if (change == nullptr) return;
        if (change->turns != turns) {
            if (!is_deadline) return violate("it turned before its deadline");
            ++count(Happening::deadline_turned);
            note_turn();
        } else if (is_deadline && machine_.tasks_to_move() != 0) {
            return violate("a deadline has passed, and nothing turned");
        }
    }

    void search() {
        machine_.searched();
        u64 freed = registry_->retry_lingering();
        count(Happening::freed_later) += freed;
    }

    // ---- the end of a change

    void complete() {
        const ModelChange* running = model_.change();
        if (running == nullptr) return;
        const ModelChange change = *running;
        bool was_on_probation = model_.set(change.set).on_probation;
        bool had_moved = look().share_has_moved;
        machine_.forget_failure();
        if (can_fail_ && random_.percent(8)) machine_.fail_after(1 + random_.below(5));
        machine_.worker_called();
        auto completed = registry_->complete();
        while (completed == Completion::draining) completed = registry_->complete();
        machine_.fail_after(0);
        if (!good()) return;
        if (completed == Completion::stuck) {
            ++count(Happening::stuck);
            if (!machine_.has_failed()) violate("call sites can't be settled");
            return;
        }
        if (completed != Completion::done) return note_share(had_moved);
        note_end(change, was_on_probation);
        was_forced_ = false;
        if (model_.change() != nullptr) ++count(Happening::rolled_back_by_itself);
        check_due_rollback();
        if (has(Defect::dormant_lost) && model_.set(change.set).dormant != kNobody)
            (void)registry_->commit(name(model_.set(change.set).current)).has_value();
    }

    // The share of a canary has moved; its deadline is over.
    void note_share(bool had_moved) {
        if (had_moved || !look().share_has_moved) return;
        if (!model_.change()->is_limited()) violate("a share has moved of something that isn't a canary");
        model_.forget_deadline();
        ++count(Happening::canary);
        if (has(Defect::promoted_unasked)) (void)registry_->promote(name(model_.change()->after)).has_value();
    }

    void note_end(const ModelChange& change, bool was_on_probation) {
        const ModelSet& set = model_.set(change.set);
        int loser = change.loser();
        if (loser != kNobody && loser != set.dormant && model_.is_named(loser)) ++count(Happening::lingered);
        switch (change.kind) {
            case ChangeKind::load:
                return note_load(change);
            case ChangeKind::unload:
                if (!change.forward) ++count(Happening::unload_turned);
                if (change.forward) ++count(was_on_probation ? Happening::unloaded_on_probation : Happening::unloaded);
                return;
            case ChangeKind::rollback:
                if (!change.forward) {
                    ++count(Happening::rollback_turned);
                } else {
                    ++count(change.after == kNobody ? Happening::rolled_back_to_original : Happening::rolled_back);
                }
                return;
        }
    }

    void note_load(const ModelChange& change) {
        if (!change.forward) {
            ++count(Happening::load_turned);
            return;
        }
        if (model_.set(change.set).on_probation) ++count(Happening::probation);
        if (change.before == kNobody) {
            ++count(Happening::loaded);
            return;
        }
        ++count(Happening::replaced);
        const PatchDefinition& before = model_.definition(change.before);
        const PatchDefinition& after = model_.definition(change.after);
        if (after.replaced == 0) ++count(Happening::replaced_by_empty);
        bool is_same = before.replaced == after.replaced && before.held == after.held;
        if (is_same) ++count(Happening::replaced_by_same);
    }

    // ---- what must hold when no transition runs: registry, call sites and model say the same

    Visible look() {
        Visible visible;
        registry_->visit_patches(visible);
        return visible;
    }

    void check() {
        if (model_.change() != nullptr || registry_->transition()) return;
        Visible visible = look();
        std::vector<std::string> expected;
        Functions replaced = 0;
        for (usize i = 0; i < kSets; ++i) {
            const ModelSet& set = model_.set(i);
            if (set.current == kNobody) continue;
            expected.push_back(std::string(name(set.current)) + " enabled " +
                               (set.dormant != kNobody ? std::string(name(set.dormant)) : "") +
                               (set.on_probation ? " on probation" : ""));
            replaced |= model_.definition(set.current).replaced;
        }
        std::vector<std::string> told = visible.told;
        std::sort(told.begin(), told.end());
        std::sort(expected.begin(), expected.end());
        if (told != expected) return violate("the registry has other patches than the model");
        for (auto& patch : visible.patches) registry_->visit_functions(patch, visible);
        if (machine_.destinations() != visible.sites) violate("call sites and func stacks disagree");
        Functions live = 0;
        for (auto& [entry, target] : visible.sites) live |= Functions{1} << *image_.index_at(entry);
        if (live != replaced) violate("other functions are patched than the model says");
        if (machine_.ledger().trampolines != 0) violate("trampolines are left");
    }

    // Unloads everything. With tasks that all run on, each transition ends, and nothing is left.
    void wind_up() {
        machine_.keep_tasks();
        can_fail_ = false;
        for (int round = 0; round < kMostRounds && good(); ++round) {
            machine_.wake_all();
            if (round > 50) machine_.forget_pointers();
            machine_.run(100 + 40 * machine_.task_count());
            if (good()) end_something();
            if (good()) check();
            if (good() && machine_.ledger() == before_) return give_back();
        }
        if (good())
            violate(model_.change() != nullptr ? "a transition never ends" : "memory or records are left behind");
    }

    void end_something() {
        if (stopped_) return fault();
        if (model_.change() != nullptr && model_.change()->is_limited()) return promote(model_.change()->after);
        if (model_.change() != nullptr) return complete();
        if (model_.is_rollback_due()) machine_.advance(kLongTime);
        ring();
        if (model_.change() != nullptr || !good()) return;
        for (usize set = 0; set < kSets; ++set) {
            if (model_.set(set).current != kNobody) return unregister(model_.set(set).current);
        }
        search();
    }

    void give_back() {
        registry_.reset();
        if (machine_.ledger() != Ledger{}) violate("the registry left records behind");
    }

    void take_counts() {
        const SimCounts& counts = machine_.counts();
        count(Happening::forced_inside) += counts.forced_inside;
        count(Happening::forced_in_flight) += counts.forced_in_flight;
        count(Happening::forced_freed) += counts.forced_freed;
        count(Happening::without_sites) += counts.empty_changes;
        count(Happening::born_across) += counts.across;
        count(Happening::born_inherited) += counts.inherited;
        count(Happening::birth) += counts.births;
        count(Happening::death) += counts.deaths;
        count(Happening::fault_fatal) += counts.fatal_faults;
        result_.events = machine_.events();
        result_.moves = machine_.all_moves();
    }

    Random random_;
    HistoryResult result_;
    u64 pause_ = 0;
    Model model_;
    SimMachine machine_;
    RecordOwner<Registry> registry_;
    SimImage& image_;
    HistoryOptions options_;
    std::vector<Bytes> files_;
    Ledger before_;
    bool can_fail_ = true;
    bool was_forced_ = false;  // the change that is under way
    std::optional<SimFault> stopped_;
};

}  // namespace

HistoryResult run_history(SimImage& image, const HistoryOptions& options) {
    return History(image, options).run();
}

}  // namespace graft::sim
