// The reference model: which version must a call see, and what becomes of a request? It knows sets, each with the patch
// in force and the dormant one before it, the change that is under way, and each task's calls; and nothing of
// universes, func stacks, call sites, trampolines or stacks as the core sees them.
//
// While no change runs, each call goes to the patch in force of its set, or to the original. While one runs it goes to
// the version of the patch before it or of the patch after it. An episode of a task lasts from the call that brings it
// into a function that either of the two replaces or holds, or into their own code, or into that of a patch of the set
// that was put out of force by force, until it has left them all. Within an episode all calls go to the version before,
// or all to the version after (design rule 1); who was inside at the beginning goes on with the one before. Only force
// breaks that: from then on, whoever it moved goes to the version that it was moved to.
//
// While a canary is limited, calls of tasks outside its share go to the version before, and who is born inside an
// episode sees what its creator sees.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/types.h"
#include "patch/refusal.h"

namespace graft::sim {

constexpr usize kSets = 3;
constexpr int kNobody = -1;  // in place of a patch: the original

// A set of image functions.
using Functions = u64;
constexpr bool has(Functions functions, usize function) {
    return ((functions >> function) & 1) != 0;
}

// One patch that a history may load.
struct PatchDefinition {
    std::string name;
    usize set = 0;
    Functions replaced = 0;
    Functions held = 0;
    bool leaks = false;  // its code hands out a pointer to its helper

    Functions claims() const { return replaced | held; }
};

// A task's standing with regard to the change that is under way.
struct Episode {
    enum class Side : u8 { open, before, after };
    usize depth = 0;
    Side side = Side::open;
    bool in_flight = false;  // forced after its last call had chosen a version
};

enum class ChangeKind : u8 { load, unload, rollback };

struct ModelChange {
    ChangeKind kind = ChangeKind::load;
    usize set = 0;
    int before = kNobody;
    int after = kNobody;
    bool forward = true;
    std::array<bool, 2> forced{};  // by direction: forward is 1
    u64 deadline_at = 0;
    u64 turns = 0;

    bool canary = false;  // until it is promoted

    // Only the canary's share may see the version after it.
    bool is_limited() const { return canary && forward; }
    int subject() const { return kind == ChangeKind::load ? after : before; }
    int winner() const { return forward ? after : before; }
    int loser() const { return forward ? before : after; }
    bool is_about(int patch) const { return patch != kNobody && (patch == before || patch == after); }
};

struct ModelSet {
    int current = kNobody;  // in force
    int dormant = kNobody;
    bool on_probation = false;
    bool rollback_due = false;
    u64 probation_end = 0;
};

// What was asked for, while it is asked for.
struct Wish {
    bool is_one = false;
    ChangeKind kind = ChangeKind::load;
    usize set = 0;
    int patch = kNobody;  // load
    u64 deadline = 0;
    u64 probation = 0;
    bool canary = false;     // load
    bool promotion = false;  // of the canary that runs, and nothing else
};

enum class Answer : u8 { refused, starts, turns, ends_probation, forces, promotes };

struct Expected {
    Answer answer = Answer::refused;
    patch::RefusalCode code = patch::RefusalCode::unknown_patch;
};

class Model {
public:
    explicit Model(std::vector<PatchDefinition> definitions)
        : definitions_(std::move(definitions)), entered_(definitions_.size()) {}

    const std::vector<PatchDefinition>& definitions() const { return definitions_; }
    const PatchDefinition& definition(int patch) const { return definitions_[static_cast<usize>(patch)]; }
    const ModelSet& set(usize index) const { return sets_[index]; }
    const ModelChange* change() const { return is_changing_ ? &change_ : nullptr; }
    bool is_registered(int patch) const;
    bool is_rollback_due() const;

    // -- requests: what must become of them
    Expected expect_load(int patch, bool is_wrong) const;
    Expected expect_unregister(int patch) const;
    Expected expect_reverse(int patch) const;
    Expected expect_rollback(int patch) const;
    Expected expect_commit(int patch) const;
    Expected expect_force(int patch) const;
    Expected expect_promote(int patch) const;
    bool expect_withdraw(int patch) const;
    // Are faults in its code contained?
    bool is_covered(int patch) const;
    void wish(const Wish& wish) { wish_ = wish; }
    void end_probation(usize set);
    // It could not be ended at `now`; that is tried again a second later.
    void prolong_probation(usize set, u64 now) { sets_[set].probation_end = now + 1'000'000'000; }
    void set_due(usize set) { sets_[set].rollback_due = true; }
    bool is_probation_over(usize set, u64 now) const;
    void forget_deadline() { change_.deadline_at = 0; }

    // -- the change. What comes next if one begins now; false: nothing can.
    bool next_change(ModelChange& change) const;
    void begin(const ModelChange& change, u64 now);
    void turn();
    // False: nobody has asked for it.
    bool promote(u64 now);
    void force() { change_.forced[change_.forward ? 1 : 0] = true; }
    void end(u64 now);
    // The memory of the patch is free again.
    void freed(int patch);
    bool is_named(int patch) const { return has(named_, static_cast<usize>(patch)); }
    bool is_forced_out(int patch) const { return has(forced_out_, static_cast<usize>(patch)); }

    // -- calls. Where a call of the function goes when only that patch of its set is in force.
    int version(int patch, usize function) const {
        return patch != kNobody && sim::has(definition(patch).replaced, function) ? patch : kNobody;
    }
    // Functions whose version the change may change.
    Functions replaced_by(const ModelChange& change) const { return replaced(change.before) | replaced(change.after); }
    bool is_held_only(usize function) const {
        return is_changing(function) && !sim::has(replaced_by(change_), function);
    }
    bool is_changing(usize function) const { return is_changing_ && sim::has(claims_, function); }
    bool is_changing_code(int patch) const {
        return is_changing_ && patch != kNobody && sim::has(code_, static_cast<usize>(patch));
    }
    // A call of `function` went to the code of patch `went_to`. Empty: as it must be.
    // `is_outsider`: the task doesn't belong to the share of the canary that runs.
    std::string judge(Episode& episode, usize function, int went_to, bool is_outsider) const;
    // A task was born, while a canary is limited to its share, on this side. Empty: as it may be.
    std::string judge_birth(const Episode& creator, bool is_after) const;

private:
    static Expected refused(patch::RefusalCode code) { return {Answer::refused, code}; }
    // Another change runs.
    Expected refused_meanwhile() const {
        return refused(change_.is_limited() ? patch::RefusalCode::canary_running
                                            : patch::RefusalCode::transition_running);
    }
    static constexpr bool has(u64 bits, usize bit) { return ((bits >> bit) & 1) != 0; }
    Functions replaced(int patch) const { return patch == kNobody ? 0 : definition(patch).replaced; }
    Functions claims(int patch) const { return patch == kNobody ? 0 : definition(patch).claims(); }

    usize first_due() const;
    u64 entered(int patch) const { return entered_[static_cast<usize>(patch)]; }

    std::vector<PatchDefinition> definitions_;
    std::vector<u64> entered_;  // by patch: when it entered the registry, as a number
    u64 last_entered_ = 0;
    std::array<ModelSet, kSets> sets_;
    bool is_changing_ = false;
    ModelChange change_;
    u64 probation_ = 0;     // of the load that is under way
    Functions claims_ = 0;  // of the change
    u64 code_ = 0;          // patches whose code counts as changing
    u64 named_ = 0;         // patches whose names are in use
    u64 forced_out_ = 0;
    Wish wish_;
};

}  // namespace graft::sim
