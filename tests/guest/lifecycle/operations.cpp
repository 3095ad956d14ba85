// Operations that change something, or would if nobody took them back.
#include "tests/guest/lifecycle/operations.h"

namespace graft::lifecycle {

namespace {

constexpr u64 kTurnsWithinNs = 4'000'000;

// Only the one that stays is left; so force moves nobody else.
bool only_one_is_left(Lifecycle& life) {
    auto running = life.registry.transition();
    return running && running->tasks_to_move == 1;
}

// Any set for which `fits(set)`; nothing when there is none.
template <typename Fits>
std::optional<Set> pick_set(Lifecycle& life, Fits&& fits) {
    u64 start = draw(life, kSetCount);
    for (usize i = 0; i < kSetCount; ++i) {
        auto set = static_cast<Set>((start + i) % kSetCount);
        if (fits(life.model[set])) return set;
    }
    return std::nullopt;
}

bool make(Lifecycle& life, Change change) {
    if (begin(life, change)) finish(life, change, true);
    return true;
}

std::optional<Set> pick_bare(Lifecycle& life) {
    return pick_set(life, [](const SetState& set) { return !set.top.is_there(); });
}
std::optional<Set> pick_replaceable(Lifecycle& life) {
    return pick_set(life, [](const SetState& set) { return set.top.is_there() && !set.on_probation; });
}
std::optional<Set> pick_on_probation(Lifecycle& life) {
    return pick_set(life, [](const SetState& set) { return set.on_probation; });
}

bool load(Lifecycle& life) {
    auto set = pick_bare(life);
    return set && make(life, pick_load(life, *set));
}

bool replace(Lifecycle& life) {
    auto set = pick_replaceable(life);
    return set && make(life, pick_load(life, *set));
}

// Of the pair's functions one or both go back to the original.
bool replace_leaving_alone(Lifecycle& life) {
    const SetState& pair = life.model[Set::pair];
    bool changes_both = pair.top.file == File::pair_1 || pair.top.file == File::pair_2;
    if (!changes_both || pair.on_probation) return false;
    File file = one_in(life, 2) ? File::pair_3 : File::pair_4;
    return make(life, load_of(life, Set::pair, file, one_in(life, 2) ? kLongNs : 0));
}

// The notes' state is undone, and they stay for whoever goes back.
bool replace_keeping_notes(Lifecycle& life) {
    const SetState& solo = life.model[Set::solo];
    return solo.top.file == File::solo_1 && !solo.on_probation &&
           make(life, load_of(life, Set::solo, File::solo_2, kLongNs));
}

bool rollback_finding_notes(Lifecycle& life) {
    const SetState& solo = life.model[Set::solo];
    return solo.top.file == File::solo_2 && solo.dormant.file == File::solo_1 &&
           make(life, rollback_of(life, Set::solo));
}

bool unload(Lifecycle& life) {
    auto set = pick_replaceable(life);
    return set && make(life, unload_of(life, *set));
}

bool unload_on_probation(Lifecycle& life) {
    auto set = pick_on_probation(life);
    return set && make(life, unload_of(life, *set));
}

bool rollback(Lifecycle& life) {
    auto set = pick_on_probation(life);
    return set && make(life, rollback_of(life, *set));
}

bool commit(Lifecycle& life) {
    auto set = pick_on_probation(life);
    if (!set) return false;
    auto done = life.registry.commit(life.model[*set].top.name.view());
    if (!done) complain(life, "a commit was refused", done.error());
    settle(life);
    life.model.end_probation(*set);
    check_all(life);
    return true;
}

class ReadProbation final : public patch::PatchVisitor {
public:
    void patch(const patch::PatchView& view) override { on_probation = view.on_probation; }
    bool on_probation = false;
};

// A probation ends by itself.
bool expire_probation(Lifecycle& life) {
    auto set = pick_set(life, [](const SetState& state) { return !state.on_probation; });
    if (!set) return false;
    Change change = pick_load(life, *set);
    change.probation_ns = 1'000'000 + draw(life, 20'000'000);
    if (!begin(life, change)) return true;
    settle(life);
    bool ended = eventually([&] {
        ReadProbation probation;
        return life.registry.visit_patch(change.name.view(), probation) && !probation.on_probation;
    });
    if (!ended) hang(life, "the end of a probation");
    settle(life);
    life.model.complete(change, true);
    life.model.end_probation(*set);
    check_all(life);
    return true;
}

// One turn; true when it was made. `may_unregister`: a load's transition can't have ended meanwhile.
bool turn(Lifecycle& life, const Change& change, bool may_unregister) {
    if (may_unregister && change.kind == ChangeKind::load && one_in(life, 2))
        return life.registry.unregister(change.name.view()).has_value();
    return life.registry.reverse(change.name.view()).has_value();
}

// Turns round up to four times, at random moments.
bool reverse(Lifecycle& life) {
    Change change = pick_change(life);
    auto place = place_of(life, change);
    if (!place) return false;
    bool held = !one_in(life, 3);
    if (held) enter(*place);
    bool forward = true;
    if (begin(life, change)) {
        for (u64 turns = 1 + draw(life, 4); turns > 0; --turns) {
            if (!held || one_in(life, 2)) sleep_randomly(life, kTurnsWithinNs);
            bool turned = turn(life, change, held && forward);
            // Who stays is inside what was there before: the way forward can't have been ended.
            require(life, turned || !held || !forward, "a held transition can't be reversed");
            if (turned) forward = !forward;
        }
        if (held) leave();
        finish(life, change, forward);
    } else if (held) {
        leave();
    }
    return true;
}

// A change that somebody holds for as long as he likes. `during` says whether it goes on, and whether the end comes
// before he leaves.
template <typename During>
bool while_held(Lifecycle& life, Change change, u64 deadline_ns, During&& during) {
    auto place = place_of(life, change);
    if (!place) return false;
    enter(*place);
    if (!begin(life, change, deadline_ns)) {
        leave();
        return true;
    }
    bool left = false;
    auto let_go = [&] {
        if (!left) leave();
        left = true;
    };
    bool forward = during(change, let_go);
    finish(life, change, forward);
    let_go();
    return true;
}

class FindLingering final : public patch::LingeringVisitor {
public:
    explicit FindLingering(std::string_view name) : name_(name) {}
    void lingering(std::string_view patch, std::span<const patch::Reference>, u64 total) override {
        if (patch != name_) return;
        found = true;
        references = total;
    }
    bool found = false;
    u64 references = 0;  // when they were looked for last

private:
    std::string_view name_;
};

// Who is inside a patch that was left by force holds its memory: it lingers, however often it is searched for.
void check_that_it_lingers(Lifecycle& life, const Loaded& left) {
    bool lingers = true;
    bool searched = eventually([&] {
        FindLingering lingering(left.name.view());
        life.registry.retry_lingering();
        life.registry.visit_lingering(lingering);
        lingers = lingering.found;
        return !lingers || lingering.references != 0;
    });
    if (!searched) hang(life, "the search for what points into a patch");
    require(life, lingers, "a patch was freed under a task", left.name.view());
}

// The one that stays goes on in what was there before, which therefore must not be freed.
bool force(Lifecycle& life) {
    Change change = pick_change(life);
    auto place = place_of(life, change);
    if (!place) return false;
    Loaded before = life.model[change.set].top;
    enter(*place);
    if (begin(life, change)) {
        if (!eventually([&] { return only_one_is_left(life); })) hang(life, "all but one moving");
        auto forced = life.registry.force(change.name.view());
        if (!forced) complain(life, "force was refused", forced.error());
        ++life.forced;
        finish(life, change, true);
        if (has_functions(before.file) && !life.model[change.set].dormant.is_there() && !life.hung)
            check_that_it_lingers(life, before);
    }
    leave();
    return true;
}

bool deadline(Lifecycle& life) {
    u64 after = 1'000'000 + draw(life, 20'000'000);
    return while_held(life, pick_change(life), after, [&](const Change&, auto&&) { return false; });
}

bool deadline_of_long(Lifecycle& life) {
    return while_held(life, pick_change(life), kLongNs, [&](const Change&, auto&& let_go) {
        sleep_randomly(life, kTurnsWithinNs);
        let_go();
        return true;
    });
}

// The system goes back by itself: from a probation, and from a load that is under way.
bool withdraw(Lifecycle& life) {
    auto set = pick_on_probation(life);
    if (!set) return false;
    Change change = rollback_of(life, *set);
    allow_both(life, change);
    require(life, life.registry.withdraw(change.name.view(), "test"), "can't be withdrawn", change.name.view());
    finish(life, change, true);
    return true;
}

bool withdraw_load(Lifecycle& life) {
    Change change = pick_change(life);
    if (change.kind != ChangeKind::load) return false;
    return while_held(life, change, 0, [&](const Change& running, auto&&) {
        require(life, life.registry.withdraw(running.name.view(), "test"), "can't be withdrawn", running.name.view());
        return false;
    });
}

// A contained fault does the same.
bool fault_on_probation(Lifecycle& life) {
    auto set =
        pick_set(life, [](const SetState& state) { return state.on_probation && has_functions(state.top.file); });
    if (!set) return false;
    Change change = rollback_of(life, *set);
    allow_both(life, change);
    require(life, fault_at(*place_of(*set)), "a fault isn't contained", change.name.view());
    finish(life, change, true);
    return true;
}

bool fault_in_load(Lifecycle& life) {
    auto set = pick_set(life, [](const SetState& state) { return !state.on_probation; });
    if (!set || !place_of(*set)) return false;
    Change change = pick_load(life, *set);
    if (!has_functions(change.incoming.file)) return false;
    return while_held(life, change, 0, [&](const Change& running, auto&&) {
        require(life, fault_at(*place_of(*set)), "a fault isn't contained", running.name.view());
        return false;
    });
}

// While another set's transition runs: then it is the next one, and comes by itself.
bool withdraw_later(Lifecycle& life) {
    auto set = pick_on_probation(life);
    Change other = pick_change(life);
    auto place = place_of(life, other);
    if (!set || other.set == *set || !place) return false;
    Change change = rollback_of(life, *set);
    enter(*place);
    if (begin(life, other)) {
        allow_both(life, change);
        require(life, life.registry.withdraw(change.name.view(), "test"), "can't be withdrawn", change.name.view());
        auto committed = life.registry.commit(change.name.view());
        require(life, !committed && committed.error().code == patch::RefusalCode::rollback_due,
                "a commit before a rollback that is due");
    }
    leave();
    bool ended = eventually([&] {
        ReadProbation probation;
        return !life.registry.visit_patch(change.name.view(), probation) && life.registry.is_idle();
    });
    if (!ended) hang(life, "a rollback that is due");
    life.model.complete(other, true);
    life.model.complete(change, true);
    check_all(life);
    return true;
}

class ReadCanary final : public patch::PatchVisitor {
public:
    void patch(const patch::PatchView& view) override { canary = view.canary; }
    patch::CanaryView canary;
};

// The share has moved, is all of what it may be, and stays; other loads wait.
void check_held(Lifecycle& life, const Change& change) {
    ReadCanary read;
    bool is_held = eventually([&] {
        require(life, life.registry.visit_patch(change.name.view(), read), "a canary is gone", change.name.view());
        return read.canary.has_moved;
    });
    if (!is_held) hang(life, "a canary's share");
    const patch::ShareCount& share = read.canary.share;
    bool is_right = share.chosen <= share.total && (change.canary.percent != 100 || share.chosen == share.total);
    require(life, is_right, "a canary's share isn't what was asked for");
    sleep_randomly(life, kTurnsWithinNs);
    auto loading = life.registry.load(file_of(File::refusing), new_name(life).view(), {});
    require(life, !loading && loading.error().code == patch::RefusalCode::canary_running, "a load during a canary");
}

bool canary(Lifecycle& life, patch::RefusalResult<void> (*end)(Lifecycle&, const Change&), bool forward) {
    auto set = pick_set(life, [](const SetState& state) { return !state.on_probation; });
    if (!set) return false;
    Change change = pick_load(life, *set);
    constexpr std::array<u8, 3> kShares = {10, 50, 100};
    bool is_of_births = one_in(life, 3);
    change.canary.kind = is_of_births ? patch::CanaryPolicy::Kind::births : patch::CanaryPolicy::Kind::percent;
    change.canary.percent = is_of_births ? u8{0} : kShares[draw(life, kShares.size())];
    if (!begin(life, change)) return true;
    check_held(life, change);
    auto ended = end(life, change);
    if (!ended) complain(life, "a canary can't be ended", ended.error());
    finish(life, change, forward);
    return true;
}

bool canary_promoted(Lifecycle& life) {
    auto promote = [](Lifecycle& of, const Change& change) { return of.registry.promote(change.name.view()); };
    return canary(life, promote, true);
}

bool canary_reversed(Lifecycle& life) {
    auto reverse = [](Lifecycle& of, const Change& change) { return of.registry.reverse(change.name.view()); };
    return canary(life, reverse, false);
}

bool canary_aborted(Lifecycle& life) {
    auto abort = [](Lifecycle& of, const Change& change) {
        require(of, of.registry.abort_canary(change.name.view(), "test"), "can't be aborted", change.name.view());
        return patch::RefusalResult<void>();
    };
    return canary(life, abort, false);
}

// A load is taken back while its pre_patch runs; meanwhile nothing else is let in.
bool cancel(Lifecycle& life) {
    Change change = pick_change(life);
    u64 state = state_of(change.incoming.file);
    if (state == 0 || state == state_of(life.model[change.set].top.file)) return false;
    hold_pre_patch();
    u64 ticket = 0;
    auto asked = request(life, change, 0, ticket);
    if (!asked) complain(life, "a load was refused", asked.error());
    if (!eventually(is_in_pre_patch)) hang(life, "pre_patch");
    auto refused = life.registry.load(file_of(File::refusing), new_name(life).view(), {});
    require(life, !refused && refused.error().code == patch::RefusalCode::callback_running, "a load during a callback");
    auto reversed = life.registry.reverse(change.name.view());
    if (!reversed) complain(life, "can't be taken back", reversed.error());
    release_pre_patch();
    auto outcome = decided(life, ticket);
    require(life, !outcome && outcome.error().code == patch::RefusalCode::cancelled, "a load that was taken back");
    finish(life, change, false);
    return true;
}

constexpr Operation kChanges[] = {
    {"load", load},
    {"replace", replace},
    {"replace-leaving-alone", replace_leaving_alone},
    {"replace-keeping-notes", replace_keeping_notes},
    {"unload", unload},
    {"unload-on-probation", unload_on_probation},
    {"rollback", rollback},
    {"rollback-finding-notes", rollback_finding_notes},
    {"commit", commit},
    {"probation-expired", expire_probation},
    {"reverse", reverse},
    {"force", force},
    {"deadline-expired", deadline},
    {"deadline-kept", deadline_of_long},
    {"withdraw-probation", withdraw},
    {"withdraw-load", withdraw_load},
    {"withdraw-later", withdraw_later},
    {"fault-probation", fault_on_probation},
    {"fault-load", fault_in_load},
    {"cancel-in-pre-patch", cancel},
    {"canary-promoted", canary_promoted},
    {"canary-reversed", canary_reversed},
    {"canary-aborted", canary_aborted},
};

}  // namespace

std::span<const Operation> changes() {
    return kChanges;
}

}  // namespace graft::lifecycle
