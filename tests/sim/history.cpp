#include "tests/sim/history.h"

#include <algorithm>

#include "tests/sim/history_definitions.h"
#include "tests/sim/history_run.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr int kMostRounds = 500;
constexpr usize kThousands = 1000;

}  // namespace

HistoryRun::HistoryRun(SimImage& image, const HistoryOptions& options)
    : random_(options.seed),
      model_(make_definitions(random_)),
      machine_(image, model_, random_, sim_options(options)),
      registry_(Registry::create(machine_)),
      image_(image),
      options_(options) {
    for (auto& definition : model_.definitions()) files_.push_back(make_file(image, definition, false));
}

HistoryResult HistoryRun::run() {
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

SimOptions HistoryRun::sim_options(const HistoryOptions& options) {
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

// ---- what is done. Mostly what makes sense at this moment, sometimes anything.

void HistoryRun::operate() {
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
void HistoryRun::steer(int patch) {
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

// Mostly the one of its set that is in force.
int HistoryRun::in_force(int patch) {
    int current = model_.set(model_.definition(patch).set).current;
    return current != kNobody && random_.percent(80) ? current : patch;
}

void HistoryRun::note_turn() {
    if (model_.change() == nullptr || model_.change()->turns == 0) return;
    ++count(Happening::turned);
    if (model_.change()->canary) ++count(Happening::canary_turned);
    if (std::exchange(was_forced_, false)) ++count(Happening::turned_after_force);
}

// ---- the end of a change

void HistoryRun::complete() {
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
void HistoryRun::note_share(bool had_moved) {
    if (had_moved || !look().share_has_moved) return;
    if (!model_.change()->is_limited()) violate("a share has moved of something that isn't a canary");
    model_.forget_deadline();
    ++count(Happening::canary);
    if (has(Defect::promoted_unasked)) (void)registry_->promote(name(model_.change()->after)).has_value();
}

void HistoryRun::note_end(const ModelChange& change, bool was_on_probation) {
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

void HistoryRun::note_load(const ModelChange& change) {
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

VisiblePatches HistoryRun::look() {
    VisiblePatches visible;
    registry_->visit_patches(visible);
    return visible;
}

void HistoryRun::check() {
    if (model_.change() != nullptr || registry_->transition()) return;
    VisiblePatches visible = look();
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
void HistoryRun::wind_up() {
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
    if (good()) violate(model_.change() != nullptr ? "a transition never ends" : "memory or records are left behind");
}

void HistoryRun::end_something() {
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

void HistoryRun::give_back() {
    registry_.reset();
    if (machine_.ledger() != Ledger{}) violate("the registry left records behind");
}

void HistoryRun::take_counts() {
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

HistoryResult run_history(SimImage& image, const HistoryOptions& options) {
    return HistoryRun(image, options).run();
}

}  // namespace graft::sim
