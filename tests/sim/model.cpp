#include "tests/sim/model.h"

namespace graft::sim {

using patch::RefusalCode;

namespace {

constexpr u64 bit(int patch) {
    return patch == kNobody ? 0 : u64{1} << patch;
}

}  // namespace

bool Model::is_registered(int patch) const {
    if (is_changing_ && change_.is_about(patch)) return true;
    return sets_[definition(patch).set].current == patch;
}

bool Model::is_rollback_due() const {
    for (const ModelSet& set : sets_) {
        if (set.rollback_due) return true;
    }
    return false;
}

// ---- requests -------------------------------------------------------------------------------------------------------

Expected Model::expect_load(int patch, bool is_wrong) const {
    if (is_changing_) return refused_meanwhile();
    if (is_rollback_due()) return refused(RefusalCode::rollback_due);
    if (is_wrong) return refused(RefusalCode::wrong_position);
    const PatchDefinition& loaded = definition(patch);
    const ModelSet& own = sets_[loaded.set];
    bool is_there = own.current == patch || own.dormant == patch;
    if (is_named(patch)) return refused(is_there ? RefusalCode::name_taken : RefusalCode::name_lingers);
    if (own.on_probation) return refused(RefusalCode::on_probation);
    if (loaded.replaced == 0 && own.current == kNobody) return refused(RefusalCode::no_funcs);
    for (usize i = 0; i < kSets; ++i) {
        Functions taken = claims(sets_[i].current) | claims(sets_[i].dormant);
        if (i != loaded.set && (taken & loaded.claims()) != 0) return refused(RefusalCode::function_taken);
    }
    return {Answer::starts};
}

Expected Model::expect_unregister(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    if (!is_changing_) return {Answer::starts};
    if (!change_.is_about(patch)) return refused_meanwhile();
    if (patch == change_.loser())
        return refused(change_.is_limited() ? RefusalCode::canary_running : RefusalCode::already_leaving);
    bool comes_back =
        change_.kind == ChangeKind::rollback ? patch == change_.after : change_.canary && patch == change_.before;
    if (comes_back) return refused(RefusalCode::transition_running);
    return {Answer::turns};
}

Expected Model::expect_reverse(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    if (!is_changing_ || !change_.is_about(patch)) return refused(RefusalCode::not_in_transition);
    if (change_.canary && !change_.forward && is_rollback_due()) return refused(RefusalCode::rollback_due);
    return {Answer::turns};
}

Expected Model::expect_rollback(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    const ModelSet& set = sets_[definition(patch).set];
    if (!set.on_probation || set.current != patch) return refused(RefusalCode::not_on_probation);
    if (is_changing_) return refused_meanwhile();
    return {Answer::starts};
}

Expected Model::expect_commit(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    const ModelSet& set = sets_[definition(patch).set];
    if (!set.on_probation || set.current != patch) return refused(RefusalCode::not_on_probation);
    if (is_changing_ && change_.is_about(patch)) return refused(RefusalCode::transition_running);
    if (set.rollback_due) return refused(RefusalCode::rollback_due);
    return {Answer::ends_probation};
}

Expected Model::expect_force(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    if (!is_changing_ || !change_.is_about(patch)) return refused(RefusalCode::not_in_transition);
    return {Answer::forces};
}

Expected Model::expect_promote(int patch) const {
    if (!is_registered(patch)) return refused(RefusalCode::unknown_patch);
    bool is_one = is_changing_ && change_.canary && patch == change_.after;
    if (!is_one) return refused(RefusalCode::not_a_canary);
    if (!change_.forward) return refused(RefusalCode::canary_turned);
    return {Answer::promotes};
}

bool Model::expect_withdraw(int patch) const {
    const ModelSet& set = sets_[definition(patch).set];
    if (!is_registered(patch) || set.rollback_due) return false;
    if (is_changing_ && change_.is_about(patch))
        return patch == change_.subject() && (change_.kind == ChangeKind::load) == change_.forward;
    return set.on_probation;
}

bool Model::is_covered(int patch) const {
    if (is_changing_ && patch == change_.subject()) return true;
    const ModelSet& set = sets_[definition(patch).set];
    return set.current == patch && set.on_probation;
}

void Model::end_probation(usize index) {
    sets_[index].on_probation = false;
    sets_[index].dormant = kNobody;
}

// Not while it is in a transition that may lead back.
bool Model::is_probation_over(usize index, u64 now) const {
    const ModelSet& set = sets_[index];
    if (!set.on_probation || set.rollback_due || set.probation_end > now) return false;
    return !is_changing_ || change_.set != index;
}

// ---- the change -----------------------------------------------------------------------------------------------------

bool Model::next_change(ModelChange& change) const {
    if (is_changing_) return false;
    change = {};
    if (wish_.is_one) {
        change.kind = wish_.kind;
        change.set = wish_.set;
    } else {
        change.kind = ChangeKind::rollback;
        change.set = first_due();
        if (change.set == kSets) return false;
    }
    change.before = sets_[change.set].current;
    if (change.kind == ChangeKind::load) change.after = wish_.patch;
    if (change.kind == ChangeKind::rollback) change.after = sets_[change.set].dormant;
    return true;
}

// Of those that are due, the one that came into the registry first.
usize Model::first_due() const {
    usize first = kSets;
    for (usize i = 0; i < kSets; ++i) {
        if (!sets_[i].rollback_due) continue;
        if (first == kSets || entered(sets_[i].current) < entered(sets_[first].current)) first = i;
    }
    return first;
}

void Model::begin(const ModelChange& change, u64 now) {
    change_ = change;
    is_changing_ = true;
    if (wish_.is_one && wish_.deadline != 0) change_.deadline_at = now + wish_.deadline;
    probation_ = wish_.is_one ? wish_.probation : 0;
    change_.canary = wish_.is_one && wish_.canary;
    if (change.kind == ChangeKind::load) named_ |= bit(change.after);
    if (change.kind == ChangeKind::rollback) sets_[change.set].rollback_due = false;
    if (change.after != kNobody) entered_[static_cast<usize>(change.after)] = ++last_entered_;
    claims_ = claims(change.before) | claims(change.after);
    code_ = bit(change.before) | bit(change.after);
    for (usize i = 0; i < definitions_.size(); ++i) {
        const PatchDefinition& forced = definitions_[i];
        if (!has(forced_out_, i)) continue;
        if (forced.set == change.set || (forced.replaced & claims_) != 0) code_ |= u64{1} << i;
    }
    wish_ = {};
}

void Model::turn() {
    change_.forward = !change_.forward;
    ++change_.turns;
}

bool Model::promote(u64 now) {
    if (!wish_.promotion || !change_.is_limited()) return false;
    change_.canary = false;
    change_.deadline_at = wish_.deadline != 0 ? now + wish_.deadline : 0;
    return true;
}

void Model::end(u64 now) {
    is_changing_ = false;
    ModelSet& set = sets_[change_.set];
    set.current = change_.winner();
    forced_out_ &= ~bit(change_.winner());
    if (change_.forced[change_.forward ? 1 : 0]) forced_out_ |= bit(change_.loser());
    if (!change_.forward) return;
    if (change_.kind == ChangeKind::unload) set.rollback_due = false;
    bool begins_probation = change_.kind == ChangeKind::load && probation_ != 0;
    set.on_probation = begins_probation;
    set.dormant = begins_probation ? change_.before : kNobody;
    if (begins_probation) set.probation_end = now + probation_;
}

void Model::freed(int patch) {
    named_ &= ~bit(patch);
    forced_out_ &= ~bit(patch);
}

// ---- calls ----------------------------------------------------------------------------------------------------------

std::string Model::judge_birth(const Episode& creator, bool is_after) const {
    if (creator.depth == 0 || creator.side == Episode::Side::open) return {};
    return (creator.side == Episode::Side::after) == is_after ? "" : "born inside an episode and on its other side";
}

std::string Model::judge(Episode& episode, usize function, int went_to, bool is_outsider) const {
    auto wrong = [&](const char* what) {
        auto name = [&](int patch) { return patch == kNobody ? "the original" : definition(patch).name; };
        return std::string(what) + ": f" + std::to_string(function) + " went to " + name(went_to);
    };
    if (is_changing_ && sim::has(replaced_by(change_), function)) {
        int before = version(change_.before, function);
        int after = version(change_.after, function);
        if (went_to != before && went_to != after) return wrong("neither the version before nor the one after");
        if (before == after) return {};
        auto side = went_to == before ? Episode::Side::before : Episode::Side::after;
        if (change_.is_limited() && is_outsider && side == Episode::Side::after)
            return wrong("outside the canary's share, and new");
        if (episode.in_flight) {
            episode.in_flight = false;
            return {};
        }
        if (episode.side != Episode::Side::open && episode.side != side) return wrong("mixed versions in one episode");
        episode.side = side;
        return {};
    }
    int expected = kNobody;
    for (const ModelSet& set : sets_) {
        int version_here = version(set.current, function);
        if (version_here != kNobody) expected = version_here;
    }
    return went_to == expected ? std::string() : wrong("not the version in force");
}

}  // namespace graft::sim
