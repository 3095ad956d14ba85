// Registry: all patches of one system, and the one way to change them.
//
// A patch's life (stage × request or event → stage; "turn" reverses the running transition):
//
//   stage         | unregister     | reverse        | all tasks moved (complete)
//   --------------+----------------+----------------+----------------------------------------------------------
//   (none)        | unknown_patch  | unknown_patch  |
//   appearing     | turn           | turn           | enabled
//   enabled       | disappearing   | not_in_transit.|
//   disappearing  | already_leaving| turn           | destructors run → (none) if nothing points into it, else
//   lingering lingering     | unknown_patch  | unknown_patch  | looked at again after each later transition → (none)
//
// A turned appearing patch is disappearing and a turned disappearing one is appearing, in the same transition, any
// number of times. load() makes an appearing patch of a file, or refuses it and leaves everything as it was. A patch of
// a set that has an enabled one replaces that: the two are in one transition, in opposite stages, and the one that is
// disappearing in the end is dropped.
//
// Invariants
//   R1  At most one transition runs.
//   R2  Two patches of different sets share no function, be it replaced or held. Of one set there is one patch, or two
//       in a transition.
//   R3  A live call site leads to a trampoline exactly while a transition changes its function, and directly to the top
//       of its func stack otherwise; a function with an empty stack or a no-op on top has the NOP.
//   R4  Code, data and records of a patch are released only when it is out of force everywhere: settled, drained,
//       synchronised, and nothing found that points into it.
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
#include "patch/patch.h"
#include "patch/plan.h"
#include "patch/refusal.h"
#include "patch/transition.h"
#include "patch/views.h"

namespace graft::patch {

inline constexpr usize kMaxPatches = 128;  // registered and lingering

struct LoadOptions {
    bool allow_endless = false;  // functions without a return instruction may be replaced or held
};

enum class Completion : u8 {
    nothing,  // no transition runs
    not_yet,  // there are tasks to move
    done,     // the transition has ended
    stuck,    // a call site can't be settled; told in history and log, tried again at the next call
};

class Registry {
public:
    // A registry is a record like all that it owns: it holds addresses of patches, and would keep them from being freed
    // if it lay in searched memory. Empty when there is no memory.
    static RecordOwner<Registry> create(Machine& machine) { return RecordOwner<Registry>::create(machine, machine); }

    explicit Registry(Machine& machine) : machine_(machine) {}
    Registry(const Registry&) = delete;
    Registry& operator=(const Registry&) = delete;
    // For tests: releases all records and memory. No transition may run, and no patch may be in force.
    ~Registry();

    // -- changing

    // Loads the patch file and begins its transition. `name` empty: the name in the file. The bytes are needed during
    // the call only. Started when it returns without a refusal; the outcome comes as a history record.
    RefusalResult<void> load(std::span<const std::byte> file, std::string_view name, const LoadOptions& options);
    // Of an appearing patch: turns its transition.
    RefusalResult<void> unregister(std::string_view name);
    RefusalResult<void> reverse(std::string_view name);
    // Called by the machine's worker when tasks_to_move() may have become 0.
    Completion complete();
    // Looks for what still points into lingering patches, and frees those that nothing points into; returns how many.
    // Takes long: the lock is held only for its last part, and patches come and go meanwhile. When a search is under
    // way already, that one is repeated for the caller, who gets 0 at once.
    usize retry_lingering();

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
    // Nothing when none runs.
    std::optional<TransitionView> transition();
    // See History::read(); `last` gets the newest record's number, 0 when there is none.
    usize read_history(u64 from, std::span<HistoryRecord> out, u64& last);

private:
    using PatchList = IntrusiveList<Patch, &Patch::hook>;
    class ReferenceFilter;

    // registry.cpp
    RefusalResult<void> load_locked(std::span<const std::byte> file, std::string_view name, const LoadOptions& options);
    RefusalResult<void> fill(Patch& patch, const Plan& plan, std::string_view name);
    RefusalResult<void> succeed(Patch& patch, Patch* outgoing);
    void part_from_predecessor(Patch& patch);
    RefusalResult<void> push_funcs(Patch& patch);
    void pop_funcs(Patch& patch);
    RefusalResult<void> start(const Change& change);
    RefusalResult<void> turn();
    void show_direction();
    void drop(Patch& patch);
    Patch* find_registered(std::string_view name);
    Patch* find_enabled(std::string_view set);
    RefusalResult<void> check_idle() const;
    RefusalResult<void> check_name(std::string_view name);
    RefusalResult<void> check_claim(const FunctionInfo& function, std::string_view set);
    RefusalResult<void> check_funcs(const Plan& plan, std::string_view set);
    RefusalResult<void> check_set(const Plan& plan, std::string_view set);
    // registry_release.cpp
    void retire(Patch& patch);
    void request_search();
    usize note_searched();
    usize begin_search();
    usize end_search(usize count);
    void judge(Patch& patch, bool is_new, usize& freed);
    void release(Patch& patch);
    // registry_query.cpp
    PatchView view_of(const Patch& patch) const;
    void record(HistoryEvent event, std::string_view patch, std::string_view other = {});
    void record_start(const Change& change);
    void record_refusal(HistoryEvent event, std::string_view patch, const Refusal& refusal);
    void record_end(const Transition& transition, const MoveCounts& moves);
    void record_lingering(const Patch& patch);
    void publish(HistoryRecord record);

    Machine& machine_;
    PatchList patches_;  // registered
    PatchList lingering_;
    usize patch_count_ = 0;  // in both
    FuncStackTable func_stacks_;
    Universe settled_ = Universe::zero;
    RecordOwner<Transition> transition_;
    bool reported_stuck_ = false;
    // Of the lingering patches that are searched for; a member, so that a search can't fail, and so that no searched
    // memory holds it.
    std::array<AddressRange, kMaxPatches * 3> searched_{};
    bool searching_ = false;     // retry_lingering() is at work, perhaps without the lock
    bool search_again_ = false;  // and somebody wants another search
    History history_;
};

}  // namespace graft::patch
