// Registry: all patches of one system, and the one way to change them.
//
// A patch's life. What each request leads to in each situation: docs/reference/life-cycle.md, cell by cell, which tests
// hold to this code.
//
//   load() → appearing → enabled (on probation) → disappearing → lingering → freed
//             `---- turn: either becomes the other ---'   `→ dormant, of who was replaced by a patch on probation
//
//   A change begins when its first call site is live, and can be turned any number of times until the last task has
//   moved: who was appearing is disappearing and the other way round. Before it begins and after that, callbacks of
//   states may run. Meanwhile a patch keeps its stage (a new one: loading) and is left alone (callback_running); only
//   a change that hasn't begun can be given up, by reverse() or, a load, by unregister().
//   A predecessor that comes back, by a rollback or from a canary, can be reversed and not unregistered.
//   The loser of a load is dropped, or dormant if it was replaced by a patch that is on probation now; that of an
//   unload is dropped, and a dormant predecessor with it; that of a rollback is dropped, but a predecessor that was on
//   its way back, and isn't, is dormant again. A dormant one is dropped when its successor is committed or
//   unregistered. Dropped means: off the func stacks, destructors run, lingering until nothing points into it, then
//   freed.
//
// load() makes an appearing patch of a file, or refuses it and leaves everything as it was. A patch of a set that has
// an enabled one replaces that in the same transition: one appears while the other disappears. unregister() of a patch
// on probation ends in the original, and takes its dormant predecessor along.
//
// force() moves every task that is left. Whoever it moved may still be inside the loser, which is marked for good: it
// is freed only by the ordinary search, its destructors run only then, and later transitions of its set or functions
// count its text as changing. A transition that is turned afterwards has every task that moved looked at again; so
// nothing is left in the loser when it ends there, and none is marked. Turned once more, it leads to where tasks were
// forced, and some of these may not have moved meanwhile: its loser is marked.
//
// A load that is a canary (patch/canary.h) is held when its share has moved: appearing, for as long as nobody promotes
// or turns it, and others are refused meanwhile (canary_running). Turned twice, it is the canary again. On its way back
// it is a reversed load like any other, but that it can't be promoted (canary_turned). A rollback that is due turns it
// and is the next transition; so long, it can't be turned to a canary again (rollback_due). Probations of other sets
// end as always. promote() is allowed before the share has moved, too; from there on it is an ordinary load, with a
// deadline of its own.
//
// A deadline turns a transition that hasn't moved everybody by then, once; who held it is in the history.
//
// withdraw() is the way in which the system itself goes back: a load is turned, a patch on probation is rolled back. If
// another set's transition runs, the rollback is the next one, before any load.
//
// Faults in a patch's code are contained by the machine while it is watched: from the beginning of a change that it is
// the subject of (also before the first call site is live, when callbacks run) to its end, and while it is on
// probation. A contained fault takes the patch back as withdraw() does. After commit, and in the patch that the subject
// replaces, nothing is contained.
//
// Callbacks of states (patch/state.h) run before the first call site is live and after the last task has moved, in a
// task of their own; a request whose change waits for one is undecided, and outcome() tells later what became of it.
//
// Invariants
//   R1  At most one transition runs.
//   R2  Two patches of different sets share no function, be it replaced or held; dormant ones count. Of one set there
//       is one patch, or two neighbours: predecessor and successor, in a transition or in probation.
//   R3  A live call site leads to a trampoline exactly while a transition changes its function, and directly to the top
//       of its func stack otherwise; a function with an empty stack or a no-op on top has the NOP.
//   R4  Code, data and records of a patch are released only when it is out of force everywhere: settled, drained,
//       synchronised, and nothing found that points into it. Words in patches that go with it don't count.
//   R5  A name is used by one patch at most, registered, dormant or lingering.
//
// Locking: every method takes the machine's lock itself, and none may be called with it held; visitors and sinks run
// under it and must neither call the registry nor sleep. Context: task. No method waits for a transition: whoever
// starts one gets its answer when the tasks have been looked at once, and the end is complete(), which the machine's
// worker calls whenever the last task may have moved. complete() may be called at any time.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/intrusive_list.h"
#include "base/types.h"
#include "patch/func_stack.h"
#include "patch/history.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/origin.h"
#include "patch/patch.h"
#include "patch/plan.h"
#include "patch/refusal.h"
#include "patch/set_versions.h"
#include "patch/state.h"
#include "patch/transition.h"
#include "patch/views.h"

namespace graft::patch {

inline constexpr usize kMaxNamedHolders = 8;  // tasks that a deadline's records name

struct LoadOptions {
    Source source = Source::network;  // how the file came; the least trusted unless said
    bool allow_endless = false;       // functions without a return instruction may be replaced or held
    bool allow_downgrade = false;     // the version may be lower than the highest that the set has had
    u64 probation_ns = 0;             // from the end of the transition on; 0: none
    u64 deadline_ns = 0;          // for the transition (of a canary: the share), from its first live site on; 0: none
    CanaryPolicy canary = {};     // none: all tasks move
    HealthRules health = {};      // looked at as a canary and on probation
    u64 nudge_period_ns = 0;      // who holds the transition is nudged each such time; 0: nobody is
    std::string_view label = {};  // what records call the file while its name isn't known; empty: nothing
};

// A fault in a patch's code that the machine has contained: the task is stopped.
struct FaultReport {
    VirtAddr code;  // in the patch: what faulted, or what called it
    u64 task = 0;
    std::string_view task_name;
    std::string_view kind;      // "page fault, read of 0x0"
    VirtAddr place;             // of the instruction that faulted
    std::string_view function;  // that it is in, "function+0x12 [patch]"
};

// What becomes of the patch.
enum class FaultAnswer : u8 {
    reversed,     // its transition was turned round
    rolled_back,  // it is rolled back as soon as that can begin
    leaves,       // it is on its way out already, or isn't in force yet
    stays,        // there is no way back any more
};

enum class Completion : u8 {
    nothing,   // no transition runs
    not_yet,   // there are tasks to move, or it is a canary
    done,      // the transition has ended
    stuck,     // a call site can't be settled; told in history and log, tried again at the next call
    draining,  // settled, but a task may stand in a trampoline; tried again at the next call, which is due in a moment
};

class Registry {
public:
    // A registry is a record like all that it owns: it holds addresses of patches, and would keep them from being freed
    // if it lay in searched memory. Empty when there is no memory.
    static RecordOwner<Registry> create(Machine& machine) { return RecordOwner<Registry>::create(machine, machine); }

    explicit Registry(Machine& machine) : machine_(machine), set_versions_(machine) {}
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;
    // For tests: releases all records and memory. No transition may run, and no patch may be in force.
    ~Registry();

    // -- changing

    // Loads the patch file and begins its transition. `name` empty: the name in the file. The bytes are needed during
    // the call only. Started when it returns without a refusal; the outcome comes as a history record. A refusal is a
    // record, too, unless nobody proved who sent the file: those are counted only, but for the boot loader's.
    // `ticket`, here and below: gets 0, or what to ask outcome() with when callbacks have to run first.
    RefusalResult<void> load(std::span<const std::byte> file, std::string_view name, const LoadOptions& options,
                             u64* ticket = nullptr);
    // Nothing while it isn't decided whether that change begins. Old tickets count as begun.
    std::optional<RefusalResult<void>> outcome(u64 ticket);
    // Of an appearing patch: turns its transition. Deadlines as in LoadOptions.
    RefusalResult<void> unregister(std::string_view name, u64 deadline_ns = 0, u64* ticket = nullptr);
    RefusalResult<void> reverse(std::string_view name);
    // Of a patch on probation: back to its predecessor, or to the original.
    RefusalResult<void> rollback(std::string_view name, u64 deadline_ns = 0, u64* ticket = nullptr);
    // Ends the probation: the predecessor is let go.
    RefusalResult<void> commit(std::string_view name);
    // Moves every task that its transition waits for.
    RefusalResult<void> force(std::string_view name);
    // Takes a patch back of the system's own accord, `reason` saying why: see above. False when it can't be: unknown,
    // settled, on its way out already, or itself on its way back by a rollback.
    bool withdraw(std::string_view name, std::string_view reason);
    // Called by the machine's worker for each contained fault: counts and records it, and takes the patch back.
    FaultAnswer report_fault(const FaultReport& report);
    // Of a canary: from now on all tasks move, and the transition ends as any. The deadline is counted from now on.
    RefusalResult<void> promote(std::string_view name, u64 deadline_ns = 0);
    // Turns the canary's transition of the system's own accord, `reason` saying why. False when the patch isn't a
    // canary, or is on its way out already.
    bool abort_canary(std::string_view name, std::string_view reason);
    // Called by the machine's worker when tasks_to_move() may have become 0.
    Completion complete();
    // Called by the machine's worker at the time of Machine::set_alarm(); may be called at any time.
    void tick();
    // Looks for what still points into lingering patches, and frees those that nothing points into; returns how many.
    // Takes long: the lock is held only for its last part, and patches come and go meanwhile. When a search is under
    // way already, that one is repeated for the caller, who gets 0 at once.
    usize retry_lingering();
    // Has the machine do that when it has a task for it, else does it.
    void search_lingering();

    // Says what load() would do, and changes nothing.
    void plan(std::span<const std::byte> file, std::string_view name, const LoadOptions& options, PlanSink& sink);

    // -- looking

    // Registered patches, in the order of loading.
    void visit_patches(PatchVisitor& visitor);
    // False when there is no such registered patch.
    bool visit_patch(std::string_view name, PatchVisitor& visitor);
    // Funcs, then holds, each by address; false when there is no such registered patch.
    bool visit_functions(std::string_view name, FunctionVisitor& visitor);
    void visit_lingering(LingeringVisitor& visitor);
    // The code of every patch that has any: registered, dormant and lingering ones.
    void visit_code(CodeVisitor& visitor);
    // In the order of the patch; false when there is no such registered patch.
    bool visit_states(std::string_view name, StateVisitor& visitor);
    // Nothing when none runs.
    std::optional<CallbackView> callback();
    // How many faults in the code of a registered patch were contained; 0 when there is none of that name.
    u64 contained_faults(std::string_view name);
    // Neither a transition nor a callback runs.
    bool is_idle();
    // Nothing when none runs.
    std::optional<TransitionView> transition();
    TaintView taint();
    // See History::read(); `last` gets the newest record's number, 0 when there is none.
    usize read_history(u64 from, std::span<HistoryRecord> out, u64& last);
    // How many files were refused because nobody vouched for them.
    u64 unauthenticated_refusals();

private:
    using PatchList = IntrusiveList<Patch, &Patch::hook>;
    class ReferenceFilter;

    struct Run {  // what the running transition has beside itself
        u64 deadline_at_ns = 0;
        std::array<bool, 2> forced{};  // by the side that it led to

        bool is_forced(Universe target) const { return forced[static_cast<usize>(target)]; }
        bool reported_stuck = false;
        bool share_has_moved = false;  // of a canary, and is in the history
        u64 drain_report_ns = 0;       // settled: when a drain that goes on is told next
    };

    // The callbacks of one change.
    struct Callbacks {
        enum class Phase : u8 {
            none,
            before,  // no call site is live
            after,   // all tasks have moved, or the change was given up
            debts,   // shadow variables of a patch that nobody goes back to any more
        };
        Phase phase = Phase::none;
        Change change;
        u64 deadline_ns = 0;             // before: of the transition to come
        bool cancelled = false;          // before: given up when the callback that runs has returned
        bool forward = true;             // after: the incoming side is in force
        std::optional<Refusal> refusal;  // after: why it was given up
        MoveCounts moves{};              // after: of the transition
        u64 settled_ns = 0;              // after: when its last call site was settled
        Patch* debtor = nullptr;         // debts
        u64 ticket = 0;
        bool is_parked = false;   // whoever asked has got the ticket
        Label<200> subject_name;  // is_parked
        std::string_view signer;  // is_parked; of the subject
        StateStep step;           // the callback that runs
        u64 step_began_ns = 0;
        bool overdue = false;
    };
    struct Outcome {
        u64 ticket = 0;
        RefusalResult<void> result;
    };
    static constexpr usize kOutcomes = 16;

    // registry.cpp
    RefusalResult<void> load_locked(const Origin& origin, std::string_view name, const LoadOptions& options);
    RefusalResult<void> fill(Patch& patch, const Plan& plan, std::string_view name);
    RefusalResult<void> succeed(Patch& patch, Patch* outgoing);
    void part_from_predecessor(Patch& patch);
    RefusalResult<void> push_funcs(Patch& patch);
    void pop_funcs(Patch& patch);
    Patch* find_registered(std::string_view name);
    Patch* find_enabled(std::string_view set);
    RefusalResult<void> check_idle() const;
    RefusalResult<void> check_name(std::string_view name);
    RefusalResult<void> check_claim(const FunctionInfo& function, std::string_view set);
    RefusalResult<void> check_probation(std::string_view set);
    RefusalResult<void> check_funcs(const Plan& plan, std::string_view set);
    RefusalResult<void> check_set(const Plan& plan, std::string_view set);
    // registry_transition.cpp
    RefusalResult<void> begin(const Change& change, u64 deadline_ns);
    RefusalResult<void> unregister_locked(std::string_view name, u64 deadline_ns);
    void turn();
    RefusalResult<void> check_moving() const;
    void show_direction();
    std::span<const AddressRange> forced_texts(const Change& change);
    void expire();
    Completion complete_locked();
    Completion settle();
    Completion drain();
    void finish(const Change& change, bool forward);
    void make_dormant(Patch& patch);
    void drop(Patch& patch);
    bool is_moving() const;
    // registry_canary.cpp
    bool is_held_canary() const;
    std::unexpected<Refusal> refuse_canary() const;
    void note_share();
    void make_way(std::string_view for_patch);
    CanaryView canary_of(const Patch& patch) const;
    // registry_states.cpp
    RefusalResult<void> start(const Change& change, u64 deadline_ns);
    void take_states(Patch& patch, const Plan& plan);
    RefusalResult<void> check_states(const Plan& plan, std::string_view set, const Patch* outgoing, bool may_lead_back);
    RefusalResult<void> check_undo(const Patch& patch) const;
    RefusalResult<void> check_no_callback() const;
    StateChange states_of(const Change& change) const;
    bool keeps_shadow() const;
    StateStep next_step();
    void run_step(const StateStep& step);
    void call_step(const StateStep& step, VirtAddr function);
    void end_step(const CallbackEnd& end);
    void drive_callbacks();
    void end_phase();
    void give_up(const Refusal& refusal);
    void conclude();
    void abandon(const Change& change);
    void decide(const RefusalResult<void>& result);
    void hand_out(u64* ticket, const RefusalResult<void>& result);
    bool cancel(const Patch& patch);
    void pay_debts(Patch& patch);
    void report_overdue(u64 now);
    Patch& owner_of(const State& state) const;
    // registry_probation.cpp
    RefusalResult<void> start_rollback(Patch& patch, u64 deadline_ns);
    void start_due_rollback();
    RefusalResult<void> check_no_rollback_due();
    void end_probation(Patch& patch);
    bool is_probation_over(const Patch& patch, u64 now) const;
    void set_alarm();
    // registry_faults.cpp
    enum class WayBack : u8 { none, turn, rollback };
    void watch(Patch& patch, bool is_watched);
    Patch* find_by_code(VirtAddr code);
    FaultAnswer answer_to_fault(const Patch& patch) const;
    WayBack way_back_of(const Patch& patch) const;
    bool take_back(Patch& patch, std::string_view reason);
    // registry_measuring.cpp
    RefusalResult<void> end_measuring(Patch& patch);
    bool is_watched_by_rules(const Patch& patch) const;
    u64 faults_of(const Patch& patch) const;
    bool breaks_rules(const Patch& patch, TextBuffer& reason) const;
    void check_health();
    // registry_release.cpp
    void retire(Patch& patch);
    void request_search();
    usize note_searched();
    usize begin_search();
    usize end_search(usize count);
    void keep_held(const PatchIndexSet& staying);
    void run_late_destructors();
    void judge(Patch& patch, usize& freed);
    void release(Patch& patch);
    // registry_query.cpp
    PatchView view_of(const Patch& patch) const;
    // registry_history.cpp
    void record(HistoryEvent event, const Patch& patch, std::string_view other = {});
    void record_start(const Change& change);
    void record_refusal(HistoryEvent event, std::string_view patch, std::string_view signer, const Refusal& refusal);
    void record_end(const Transition& transition, const MoveCounts& moves, u64 settled_ns);
    void record_tasks(HistoryEvent event, u64 tasks);
    void record_holder(const Holder& holder);
    void record_lingering(const Patch& patch);
    void record_fault(const Patch& patch, const FaultReport& report, FaultAnswer answer);
    void record_share(HistoryEvent event);
    void publish(HistoryRecord record);

    Machine& machine_;
    PatchList patches_;  // registered
    PatchList dormant_;
    PatchList lingering_;
    usize patch_count_ = 0;  // in all three
    FuncStackTable func_stacks_;
    Universe settled_ = Universe::zero;
    RecordOwner<Transition> transition_;
    Run run_;  // of transition_
    Callbacks callbacks_;
    u64 last_ticket_ = 0;
    std::array<Outcome, kOutcomes> outcomes_{};
    TaintView taint_;
    u64 alarm_ = kNoAlarm;
    u64 health_due_ns_ = 0;  // when rules are looked at next
    u64 unauthenticated_refusals_ = 0;
    u64 rollback_retry_ns_ = 0;  // when one that is due and couldn't begin is tried again
    // Of the lingering patches that are searched for; a member, so that a search can't fail, and so that no searched
    // memory holds it.
    std::array<AddressRange, kMaxPatches * 3> searched_{};
    std::array<AddressRange, kMaxPatches> forced_texts_{};
    bool searching_ = false;     // retry_lingering() is at work, perhaps without the lock
    bool search_again_ = false;  // another search is wanted after this one
    SetVersions set_versions_;
    History history_;
};

}  // namespace graft::patch
