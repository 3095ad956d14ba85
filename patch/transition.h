// Transition: the way of all tasks from one side to the other, where one patch of a set comes into force, one goes out
// of force, or both at once.
//
//   kind      | incoming          | outgoing          | subject  | afterwards
//   ----------+-------------------+-------------------+----------+----------------------------------------------
//   load      | the loaded patch  | none              | incoming | it is in force
//   load      | the loaded patch  | what the set has  | incoming | it has replaced the other one
//   unload    | none              | the patch         | outgoing | the original again
//   rollback  | the dormant one   | its successor     | outgoing | exactly the old set again
//   rollback  | none              | a first patch     | outgoing | the original again
//
// A function counts as changed when either patch replaces it. On each side a call goes to that side's func, or to the
// original when that side's patch has none; on the side without a patch, to the original.
//
//   step              | call sites         | tasks                      | done by
//   ------------------+--------------------+----------------------------+---------------------------------
//   1 prepare         | as they were       | all in the settled side    | prepare(); may fail, nothing has changed
//   2 sites live      | to trampolines     | all still there            | begin(); may fail, nothing has changed
//   3 moving          | to trampolines     | one after the other        | begin(), turn(), the machine
//   4 all moved       | to trampolines     | all in the target          |
//   5 sites settled   | to the target's    | all in the target          | settle(); may fail, stays in step 4
//                     | version, or NOP    |                            |
//   6 drained, ended  |                    | none in a trampoline       | end(); may have to wait, stays in step 5
//
// The order is what makes it right: no task may move before the last site is live (else it would call some functions
// new and some old), and no site may settle before the last task has moved. In step 2 both versions of a site mean the
// same to every task, and again in step 5; so it doesn't matter when a processor sees which.
//
// Up to step 4 it can be turned. A load that is a canary (patch/canary.h) stays in step 3, or in step 4 when its share
// has moved, until it is promoted or turned. Turned twice, it is the canary again.
//
// Of a subject that is measured, sites lead to measuring (Machine::prepare_measuring()) in place of the trampolines,
// and stay so after the end when the subject is on probation then.
//
// turn() only changes the target: trampolines choose by a task's own side, and the changing set serves both directions.
//
// Locking: the registry's lock, but for examine(). Once begun, a transition ends only by settle() and end().
#pragma once

#include "base/assert.h"
#include "base/types.h"
#include "patch/changing_set.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/patch.h"
#include "patch/plan.h"
#include "patch/refusal.h"

namespace graft::patch {

struct Change {
    enum class Kind : u8 { load, unload, rollback };

    Kind kind = Kind::load;
    Patch* incoming = nullptr;
    Patch* outgoing = nullptr;

    // The patch that it is about.
    Patch& subject() const {
        Patch* patch = kind == Kind::load ? incoming : outgoing;
        GRAFT_ASSERT(patch != nullptr);
        return *patch;
    }
    // Its neighbour of the set, if there is one.
    Patch* other() const { return kind == Kind::load ? outgoing : incoming; }
    bool is_replace() const { return kind == Kind::load && outgoing != nullptr; }
};

class Transition final : public Examiner {
public:
    // `settled` is where all tasks are. `forced`: texts of patches that were put out of force by force and share a
    // function with the change; who is still in there is inside a changing function.
    static RefusalResult<RecordOwner<Transition>> prepare(Machine& machine, const Change& change, Universe settled,
                                                          std::span<const AddressRange> forced);

    Transition(Machine& machine, const Change& change, Universe settled);
    Transition(const Transition&) = delete;
    Transition& operator=(const Transition&) = delete;
    ~Transition();

    RefusalResult<void> begin();
    void turn();
    // Only of a canary. From now on everybody is to move.
    void promote();
    // Only when no task is left to move, and not of a canary that leads forward. Afterwards it can't be turned any
    // more.
    RefusalResult<void> settle();
    bool is_settled() const { return settled_; }
    // Only when it is settled. False: a task may stand in a trampoline, and nobody can say; to be called again.
    [[nodiscard]] bool end();

    const Change& change() const { return change_; }
    Patch& subject() const { return change_.subject(); }
    // Does it lead where the change was to lead, not back?
    bool is_forward() const { return target_ == forward_; }
    // Does it lead to where the subject is in force?
    bool is_appearing() const { return is_forward() == (change_.kind == Change::Kind::load); }
    // The patch that is in force at its end as it leads now, and the one that isn't; either may be missing.
    Patch* winner() const { return is_forward() ? change_.incoming : change_.outgoing; }
    Patch* loser() const { return is_forward() ? change_.outgoing : change_.incoming; }
    Universe target() const { return target_; }
    // Not promoted yet.
    bool is_canary() const { return is_canary_; }
    // The universe in which the subject is in force.
    Universe new_side() const { return change_.kind == Change::Kind::load ? forward_ : other(forward_); }
    u32 turns() const { return turns_; }
    u64 began_ns() const { return began_ns_; }

    // Context: any processor, interrupts off; reads only what prepare() made.
    Verdict examine(Stack& stack) const override;

private:
    RefusalResult<void> make_dispatches();
    RefusalResult<void> prepare_measuring();
    bool measures_on() const;
    RefusalResult<void> make_changing_set(std::span<const AddressRange> forced);
    usize count_functions() const;
    RefusalResult<void> write_sites();

    Machine& machine_;
    Change change_;
    Universe forward_;  // tasks on this side see the incoming patch
    Universe target_;
    u32 turns_ = 0;
    u64 began_ns_ = 0;
    bool begun_ = false;
    bool is_canary_ = false;
    bool settled_ = false;
    bool is_measured_ = false;          // calls are measured while it runs
    bool goes_on_measuring_ = false;    // and after its end, since settle()
    bool has_new_counts_ = false;       // made for this transition, which hasn't begun
    RecordArray<Dispatch> dispatches_;  // by entry
    RecordArray<SiteChange> changes_;
    Trampolines trampolines_;
    ChangingSet changing_;
};

// The changing set of a patch that isn't loaded: of its code there is none yet in which a task could be.
class PlannedChange final : public Examiner {
public:
    // `outgoing`: the patch that it would replace, or null. False when there is no memory.
    [[nodiscard]] bool create(Machine& machine, const Plan& plan, const Patch* outgoing);
    Verdict examine(Stack& stack) const override;

private:
    ChangingSet changing_;
};

}  // namespace graft::patch
