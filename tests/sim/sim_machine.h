// SimMachine: patch/machine.h over simulated tasks on simulated processors. Tasks call image functions, are preempted
// at every stage of a call (in the call site, in a trampoline before and after its choice, in the body), block, wake,
// start and end; and they run during every call that the core makes. The model judges each call as it happens.
//
// Events come from one seeded generator, so a history replays. A violation stops the history.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "tests/sim/defect.h"
#include "tests/sim/model.h"
#include "tests/sim/random.h"
#include "tests/sim/still_machine.h"

namespace graft::sim {

struct SimFrame {
    enum class At : u8 {
        site,           // at the entry, the call site not executed yet
        before_choice,  // in a trampoline that hasn't read the task's state
        after_choice,   // in a trampoline that has
        gate,           // on the way to measuring, which hasn't chosen
        body,
    };
    At at = At::site;
    std::optional<usize> function;  // of the image
    int own = kNobody;              // or: the patch whose helper this is
    VirtAddr code;                  // body: where the version begins
    int version = kNobody;          // body: the patch whose code that is
    bool counts = false;            // for the model: belongs to the episode
    VirtAddr pc;
    u64 trampolines = 0;  // handle
    usize slot = 0;
    VirtAddr chosen;  // after_choice
};

struct SimTask {
    enum class Run : u8 { running, ready, blocked, stopped };

    u64 id = 0;
    Run run = Run::ready;
    usize processor = 0;  // running
    patch::Universe state = patch::Universe::zero;
    std::vector<SimFrame> stack;                          // outermost first
    std::optional<usize> hook;                            // the frame whose return is hooked
    patch::Universe hook_target = patch::Universe::zero;  // only a defect looks at it
    bool marked = false;                                  // to be examined when it next stops running
    bool newborn = true;
    bool overlooked = false;  // only a defect sets it
    std::string name;
    bool is_own = false;     // of Graft itself
    bool is_chosen = false;  // belongs to the share of the canary that runs
    bool strays = false;     // only a defect sets it
    Episode episode;
};

// A task has faulted, and will end when it has been told of.
struct SimFault {
    u64 task = 0;
    VirtAddr code;  // in the innermost frame of a patch whose faults are contained
    int patch = kNobody;
};

struct SimCounts {
    u64 births = 0;
    u64 deaths = 0;
    u64 forced_inside = 0;     // tasks moved by force while inside what changes
    u64 forced_in_flight = 0;  // that had chosen a version already
    u64 forced_freed = 0;      // patches that were put out of force by force
    u64 empty_changes = 0;     // of no call site
    u64 fatal_faults = 0;      // that aren't contained: they don't happen
    u64 across = 0;            // born on the other side than their creator's
    u64 inherited = 0;         // born on their creator's side, since that was inside
};

struct SimOptions {
    usize tasks = 40;
    usize most_tasks = 80;
    usize fewest_tasks = 20;
    usize processors = 4;
    Defect defect = Defect::none;
};

class SimMachine final : public StillMachine {
public:
    SimMachine(SimImage& image, Model& model, Random& random, const SimOptions& options);

    // Lets tasks do up to `most` things.
    void run(u64 most);
    void wake_all();
    // Somebody who runs in a patch's code, or below it, faults there and goes on no more. Nothing: nobody does.
    std::optional<SimFault> fault();
    void end_stopped(const SimFault& fault);
    // From now on nobody starts or ends: who holds a transition up can't just go away.
    void keep_tasks() { keep_tasks_ = true; }
    void forget_pointers() { pointers_.clear(); }
    bool worker_due() const { return worker_due_; }
    void worker_called() { worker_due_ = false; }
    bool broken() const { return !violations.empty(); }
    u64 events() const { return events_; }
    const patch::MoveCounts& all_moves() const { return all_moves_; }
    usize task_count() const { return tasks_.size(); }
    usize pointer_count() const { return pointers_.size(); }
    bool search_due() const { return search_due_; }
    void searched() { search_due_ = false; }
    void commits(bool now) { commits_ = now; }  // a commit is under way
    const SimCounts& counts() const { return counts_; }

    // -- patch::Machine
    void lock() override;
    void unlock() override;
    patch::MachineResult<patch::PatchMemory> reserve(const patch::MemoryRequest& request) override;
    patch::MachineResult<void> seal(const patch::PatchMemory& memory) override;
    void release_memory(const patch::PatchMemory& memory) override;
    patch::MachineResult<void> register_code(const patch::PatchCode& code) override;
    void unregister_code(const patch::PatchCode& code) override;
    patch::MachineResult<patch::Trampolines> make_trampolines(std::span<const patch::Dispatch> dispatches) override;
    void release_trampolines(const patch::Trampolines& trampolines) override;
    patch::MachineResult<void> write_sites(std::span<const patch::SiteChange> changes) override;
    bool drain(const patch::Trampolines& trampolines) override;
    void synchronise() override;
    void begin_transition(const patch::Examiner& examiner, patch::Universe target) override;
    void begin_canary(const patch::Examiner& examiner, patch::Universe target,
                      const patch::CanaryPolicy& policy) override;
    void promote_canary() override;
    patch::ShareCount share() const override;
    void turn_transition(patch::Universe target) override;
    void end_transition() override;
    void sweep() override;
    u64 tasks_to_move() const override;
    // Those of them that have run: a newborn moves by itself when it first does.
    u64 started_tasks_to_move() const;
    void force_moves() override;
    void visit_holders(patch::HolderSink& sink) override;
    void survey(const patch::Examiner& examiner, patch::SurveySink& sink) override;
    bool search_later() override;
    void release(void* memory, usize size) override;
    void set_alarm(u64 at_ns) override;
    void prepare_search(std::span<const AddressRange> ranges) override;
    patch::SearchReport find_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) override;

private:
    class WalkedStack;
    struct Pointer {
        VirtAddr target;
        int patch;
    };

    bool has(Defect defect) const { return options_.defect == defect; }
    void run_meanwhile() { run(12); }
    void event();

    // tasks and processors (sim_tasks.cpp)
    SimTask& start_task(const SimTask* creator);
    void end_task(SimTask& task);
    void stop(SimTask& task, SimTask::Run run);
    std::optional<SimFault> fault_of(SimTask& task);
    void step_processor(usize processor);
    void preempt(usize processor);
    void wake_one();
    void fire_pointer(SimTask& task);
    void step(SimTask& task);
    void step_outside(SimTask& task);
    void step_site(SimTask& task, SimFrame& frame);
    void step_gate(SimTask& task, SimFrame& frame);
    void step_body(SimTask& task);
    void call(SimTask& task, usize function);
    void push(SimTask& task, const SimFrame& frame);
    void land(SimTask& task, SimFrame& frame, VirtAddr target);
    void return_from(SimTask& task);
    VirtAddr some_pc(const SimFrame& frame);
    int patch_at(VirtAddr address) const;
    VirtAddr helper_of(VirtAddr patch_text) const;
    VirtAddr seen_site(usize processor, VirtAddr entry) const;

    // canaries (sim_canary.cpp)
    patch::Universe goal_of(const SimTask& task) const;
    bool is_in_place(const SimTask& task) const { return task.state == goal_of(task); }
    bool chooses(const SimTask& newborn, const SimTask& creator);
    void assign_newborn(SimTask& newborn, const SimTask& creator);
    void count_unmoved();

    // moving (sim_moves.cpp)
    void consider(SimTask& task, patch::MoveCause cause);
    patch::Verdict examine(const patch::Examiner& examiner, const SimTask& task, bool unreliable) const;
    void move(SimTask& task, patch::MoveCause cause);
    void hook_fired(SimTask& task);
    bool hides(const SimFrame& frame) const;
    std::vector<u64> task_ids() const;
    void check_worker();
    std::string check_dispatches(const ModelChange& change, std::span<const patch::Dispatch> dispatches) const;
    std::vector<patch::Dispatch> spoiled(const ModelChange& change, std::span<const patch::Dispatch> dispatches) const;
    void enter_episode(SimTask& task, SimFrame& frame);
    void begin_episodes();
    void force_move(SimTask& task);
    bool is_forced_out(AddressRange range) const;

    Model& model_;
    Random& random_;
    SimOptions options_;
    std::vector<std::unique_ptr<SimTask>> tasks_;
    std::unordered_map<u64, SimTask*> by_id_;
    std::vector<SimTask*> current_;  // by processor
    std::vector<bool> stale_;        // processors that still see old_sites_
    std::map<VirtAddr, VirtAddr> old_sites_;
    std::vector<patch::SiteChange> late_;  // sites_late
    std::vector<Pointer> pointers_;
    patch::Universe settled_ = patch::Universe::zero;
    patch::Universe began_at_ = patch::Universe::zero;  // the transition that runs
    bool limited_ = false;                              // it is a canary
    patch::Universe new_side_ = patch::Universe::zero;  // of the canary
    bool search_due_ = false;
    u64 next_task_ = 1;
    u64 to_move_ = 0;
    bool worker_due_ = false;
    bool running_ = false;  // run() isn't entered twice
    bool keep_tasks_ = false;
    bool commits_ = false;
    bool has_leaked_ = false;
    u64 events_ = 0;
    SimCounts counts_;
    patch::MoveCounts all_moves_{};
};

}  // namespace graft::sim
