// Transition: the way of all tasks from one side to the other of a patch that comes or goes.
//
//   step              | call sites         | tasks                      | done by
//   ------------------+--------------------+----------------------------+---------------------------------
//   1 prepare         | as they were       | all in the settled side    | prepare(); may fail, nothing has changed
//   2 sites live      | to trampolines     | all still there            | begin(); may fail, nothing has changed
//   3 moving          | to trampolines     | one after the other        | begin(), turn(), the machine
//   4 all moved       | to trampolines     | all in the target          |
//   5 sites settled   | to the target's    | all in the target          | settle(); may fail, stays in step 4
//                     | version, or NOP    |                            |
//   6 drained, ended  |                    | none in a trampoline       | settle()
//
// The order is what makes it right: no task may move before the last site is live (else it would call some functions
// new and some old), and no site may settle before the last task has moved. In step 2 both versions of a site mean the
// same to every task, and again in step 5; so it doesn't matter when a processor sees which.
//
// turn() only changes the target: trampolines choose by a task's own side, and the changing set serves both directions.
//
// Locking: the registry's lock, but for examine(). Once begun, a transition ends only by settle().
#pragma once

#include "base/types.h"
#include "patch/changing_set.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/patch.h"
#include "patch/refusal.h"

namespace graft::patch {

class Transition final : public Examiner {
public:
    // The patch's funcs are on their func stacks. `settled` is where all tasks are.
    static RefusalResult<RecordOwner<Transition>> prepare(Machine& machine, Patch& patch, bool appearing,
                                                          Universe settled);

    Transition(Machine& machine, Patch& patch, bool appearing, Universe settled);
    Transition(const Transition&) = delete;
    Transition& operator=(const Transition&) = delete;
    ~Transition();

    RefusalResult<void> begin();
    void turn();
    // Only when no task is left to move.
    RefusalResult<void> settle();

    Patch& patch() const { return patch_; }
    // Does it lead to where the patch is in force?
    bool is_appearing() const { return target_ == in_force_; }
    Universe target() const { return target_; }
    u32 turns() const { return turns_; }
    u64 began_ns() const { return began_ns_; }

    // Context: any processor, interrupts off; reads only what prepare() made.
    Verdict examine(Stack& stack) const override;

private:
    RefusalResult<void> make_dispatches();
    RefusalResult<void> make_changing_set();

    Machine& machine_;
    Patch& patch_;
    Universe in_force_;  // tasks on this side see the patch
    Universe target_;
    u32 turns_ = 0;
    u64 began_ns_ = 0;
    bool begun_ = false;
    RecordArray<Dispatch> dispatches_;
    RecordArray<SiteChange> changes_;
    Trampolines trampolines_;
    ChangingSet changing_;
};

// What of the set a plan needs: the old parts of functions that aren't loaded yet.
class PlannedChange final : public Examiner {
public:
    [[nodiscard]] bool reserve(Machine& machine, usize functions) {
        return changing_.reserve(machine, functions * kMaxFunctionRanges);
    }
    void add(const FunctionInfo& function);
    void close() { changing_.close(); }
    Verdict examine(Stack& stack) const override;

private:
    ChangingSet changing_;
};

}  // namespace graft::patch
