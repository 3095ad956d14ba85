// What the simulated machine does for the core: sites, trampolines, moves, hooks, references.
#include <algorithm>
#include <utility>

#include "tests/sim/sim_machine.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr u64 kSlotsPerTask = 1u << 16;

VirtAddr slot_of(const SimTask& task, usize frame) {
    return VirtAddr(task.id * kSlotsPerTask + frame * 8);
}

usize frame_at(VirtAddr slot) {
    return (slot.value % kSlotsPerTask) / 8;
}

}  // namespace

// The walk of one stack, as the unwinder would hand it to the core; what a defect hides isn't in it.
class SimMachine::WalkedStack final : public Stack {
public:
    WalkedStack(const SimMachine& machine, const SimTask& task, bool unreliable)
        : machine_(machine), task_(task), next_(task.stack.size()), unreliable_(unreliable) {}

    bool next(Frame& frame) override {
        while (next_ > 0) {
            usize index = --next_;
            if (machine_.has(Defect::innermost_only) && index + 1 != task_.stack.size()) continue;
            if (unreliable_ && index == 0) return false;
            if (machine_.hides(task_.stack[index])) continue;
            frame.lookup_pc = task_.stack[index].pc;
            frame.return_slot = slot_of(task_, index);
            return true;
        }
        return false;
    }
    bool reliable() const override { return !unreliable_; }

private:
    const SimMachine& machine_;
    const SimTask& task_;
    usize next_;
    bool unreliable_;
};

bool SimMachine::hides(const SimFrame& frame) const {
    switch (options_.defect) {
        case Defect::trampoline_ignored:
            return frame.at != SimFrame::At::body;
        case Defect::holds_ignored:
            return frame.function && model_.is_held_only(*frame.function);
        case Defect::tail_ignored: {
            if (!frame.function) return false;
            auto& parts = image_.function(*frame.function).parts;
            return parts.size() > 1 && parts[1].contains(frame.pc);
        }
        case Defect::patch_text_ignored:
            return frame.version != kNobody;
        case Defect::forced_text_ignored:
            return frame.version != kNobody && model_.is_forced_out(frame.version);
        default:
            return false;
    }
}

// ---- calls that only give tasks time to run -------------------------------------------------------------------------

void SimMachine::lock() {
    run_meanwhile();
    StillMachine::lock();
}

void SimMachine::unlock() {
    StillMachine::unlock();
    run_meanwhile();
}

MachineResult<PatchMemory> SimMachine::reserve(const MemoryRequest& request) {
    run_meanwhile();
    return StillMachine::reserve(request);
}

MachineResult<void> SimMachine::seal(const PatchMemory& memory) {
    run_meanwhile();
    return StillMachine::seal(memory);
}

MachineResult<void> SimMachine::register_code(const PatchCode& code) {
    run_meanwhile();
    return StillMachine::register_code(code);
}

void SimMachine::unregister_code(const PatchCode& code) {
    run_meanwhile();
    for (auto& task : tasks_) {
        for (auto& frame : task->stack) {
            if (code.text.contains(frame.pc))
                violation("code is unregistered that is on the stack of task " + std::to_string(task->id));
        }
    }
    int patch = patch_at(code.text.begin);
    if (patch != kNobody && model_.is_forced_out(patch)) ++counts_.forced_freed;
    if (patch != kNobody) model_.freed(patch);
    StillMachine::unregister_code(code);
}

void SimMachine::synchronise() {
    run_meanwhile();
}

// ---- memory ---------------------------------------------------------------------------------------------------------

void SimMachine::release_memory(const PatchMemory& memory) {
    run_meanwhile();
    for (auto& task : tasks_) {
        for (auto& frame : task->stack) {
            bool refers = memory.text.contains(frame.pc) || memory.text.contains(frame.code) ||
                          memory.text.contains(frame.chosen);
            if (refers) violation("memory is released that is on the stack of task " + std::to_string(task->id));
        }
    }
    for (auto& pointer : pointers_) {
        if (memory.text.contains(pointer.target)) violation("memory is released that a pointer leads to");
    }
    StillMachine::release_memory(memory);
}

void SimMachine::prepare_search(std::span<const AddressRange>) {
    run_meanwhile();
}

SearchReport SimMachine::find_references(std::span<const AddressRange> ranges, ReferenceSink& sink) {
    run_meanwhile();
    if (has(Defect::freed_early) || (has(Defect::commit_frees_early) && commits_)) return {};
    auto look = [&](VirtAddr word, Reference::Kind kind, u64 place, u64 owner) {
        for (AddressRange range : ranges) {
            if (has(Defect::forced_freed_at_once) && is_forced_out(range)) continue;
            if (range.contains(word)) sink.found({kind, VirtAddr(place), word.value, owner});
        }
    };
    for (usize i = 0; i < pointers_.size(); ++i) look(pointers_[i].target, Reference::Kind::timer, 8 * i, 0);
    for (auto& task : tasks_) {
        for (auto& frame : task->stack) {
            look(frame.pc, Reference::Kind::stack, 8, task->id);
            look(frame.code, Reference::Kind::stack, 8, task->id);
        }
    }
    return {};
}

// ---- call sites and trampolines -------------------------------------------------------------------------------------

MachineResult<Trampolines> SimMachine::make_trampolines(std::span<const Dispatch> dispatches) {
    run_meanwhile();
    ModelChange change;
    if (!model_.next_change(change)) {
        violation("a transition is prepared that nobody asked for");
        return StillMachine::make_trampolines(dispatches);
    }
    auto installed = spoiled(change, dispatches);
    auto wrong = check_dispatches(change, dispatches);
    if (!wrong.empty()) violation(wrong);
    return StillMachine::make_trampolines(installed);
}

// Each function whose version the change may change, once, and on each side the version of that side's patch. Beside
// them, those whose calls only stop being measured.
std::string SimMachine::check_dispatches(const ModelChange& change, std::span<const Dispatch> dispatches) const {
    Functions seen = 0;
    Functions only_measured = 0;
    for (const Dispatch& dispatch : dispatches) {
        auto function = image_.index_at(dispatch.entry);
        if (!function || sim::has(seen, *function)) return "a trampoline for no function, or for one twice";
        seen |= Functions{1} << *function;
        bool is_original =
            dispatch.version[0] == dispatch.entry + kCallSiteSize && dispatch.version[1] == dispatch.version[0];
        if (is_original && dispatch.is_measured) only_measured |= Functions{1} << *function;
        for (bool is_after : {false, true}) {
            VirtAddr version = dispatch.version[static_cast<usize>(is_after ? other(settled_) : settled_)];
            int expected = model_.version(is_after ? change.after : change.before, *function);
            bool is_right =
                expected == kNobody ? version == dispatch.entry + kCallSiteSize : patch_at(version) == expected;
            if (!is_right) return "a trampoline leads to the wrong version of f" + std::to_string(*function);
        }
    }
    return (seen & ~only_measured) == model_.replaced_by(change) ? ""
                                                                 : "trampolines for other functions than the change's";
}

// What a core with these defects would make.
std::vector<Dispatch> SimMachine::spoiled(const ModelChange& change, std::span<const Dispatch> dispatches) const {
    std::vector<Dispatch> made(dispatches.begin(), dispatches.end());
    usize before = static_cast<usize>(settled_);
    usize after = static_cast<usize>(other(settled_));
    if (has(Defect::rollback_partial) && change.kind == ChangeKind::rollback && change.after != kNobody)
        made.back().version[after] = made.back().version[before];
    if (has(Defect::no_op_missing) && change.kind == ChangeKind::load) {
        for (Dispatch& dispatch : made) {
            bool is_original = dispatch.version[after] == dispatch.entry + kCallSiteSize;
            if (is_original) dispatch.version[after] = dispatch.version[before];
        }
    }
    return made;
}

void SimMachine::release_trampolines(const Trampolines& trampolines) {
    run_meanwhile();
    for (auto& task : tasks_) {
        for (auto& frame : task->stack) {
            bool inside = frame.at == SimFrame::At::before_choice || frame.at == SimFrame::At::after_choice;
            if (inside && trampolines.text.contains(frame.pc))
                violation("trampolines are released with a task in them");
        }
    }
    StillMachine::release_trampolines(trampolines);
}

MachineResult<void> SimMachine::write_sites(std::span<const SiteChange> changes) {
    run_meanwhile();
    if (auto failure = site_failure(changes)) return graft::fail(*failure);
    old_sites_ = sites_;
    stale_.assign(options_.processors, true);
    usize last = changes.size() - 1;
    for (usize i = 0; i < changes.size(); ++i) {
        if (i == last && has(Defect::site_forgotten)) continue;
        if (i == last && last > 0 && has(Defect::sites_late) && examiner_ == nullptr) {
            late_.push_back(changes[i]);
            continue;
        }
        if (changes[i].target) {
            sites_[changes[i].entry] = changes[i].target;
        } else {
            sites_.erase(changes[i].entry);
        }
        // Between two sites of a batch, and while some processors have seen a change and others haven't.
        if (random_.percent(30)) run_meanwhile();
    }
    run_meanwhile();
    if (!has(Defect::missing_sync)) stale_.assign(options_.processors, false);
    return {};
}

// Tasks may start and end while somebody goes through them.
std::vector<u64> SimMachine::task_ids() const {
    std::vector<u64> ids(tasks_.size());
    for (usize i = 0; i < ids.size(); ++i) ids[i] = tasks_[i]->id;
    return ids;
}

bool SimMachine::drain(const Trampolines& trampolines) {
    run_meanwhile();
    if (has(Defect::missing_drain)) return true;
    for (u64 id : task_ids()) {
        if (random_.percent(5)) run_meanwhile();
        auto found = by_id_.find(id);
        if (found == by_id_.end() || found->second->stack.empty()) continue;
        SimFrame& frame = found->second->stack.back();
        bool inside = frame.at == SimFrame::At::before_choice || frame.at == SimFrame::At::after_choice;
        if (!inside || !trampolines.text.contains(frame.pc)) continue;
        VirtAddr entry = image_.function(*frame.function).entry();
        VirtAddr target = site(entry);
        land(*found->second, frame, target ? target : entry + kCallSiteSize);
    }
    return !random_.percent(5);  // or some stack couldn't be walked
}

// ---- transitions ----------------------------------------------------------------------------------------------------

void SimMachine::begin_transition(const Examiner& examiner, Universe target) {
    run_meanwhile();
    StillMachine::begin_transition(examiner, target);
    ModelChange change;
    if (!model_.next_change(change)) return violation("a transition begins that nobody asked for");
    began_at_ = settled_;
    if (target == settled_) violation("a transition leads to where all tasks are");
    if (trampolines_.empty()) ++counts_.empty_changes;
    model_.begin(change, clock());
    begin_episodes();
    for (auto& task : tasks_) {
        task->overlooked = false;
        if (task->state == target) violation("a task is on the other side before the transition");
    }
    count_unmoved();
    run_meanwhile();
}

void SimMachine::turn_transition(Universe target) {
    run_meanwhile();
    StillMachine::turn_transition(target);
    model_.turn();
    if (has(Defect::share_lost_on_turn)) limited_ = false;
    count_unmoved();
    for (auto& task : tasks_) {
        if (has(Defect::hook_lost_on_turn) && task->hook) {
            task->hook.reset();
            task->overlooked = true;
        }
    }
    run_meanwhile();
}

void SimMachine::end_transition() {
    run_meanwhile();
    for (auto& task : tasks_) {
        if (!has(Defect::hook_forgotten)) task->hook.reset();
        task->marked = false;
        if (task->state != target_)
            violation("a transition ends before task " + std::to_string(task->id) + " has moved");
    }
    settled_ = target_;
    limited_ = false;
    if (model_.change() == nullptr) return violation("a transition ends that the model doesn't know");
    bool leads_forward = model_.change()->forward;
    model_.end(clock());
    for (auto& task : tasks_) {
        for (SimFrame& frame : task->stack) frame.counts = false;
        task->episode = {};
    }
    if (leads_forward == (target_ == began_at_)) violation("a transition ended on the wrong side");
    StillMachine::end_transition();
    run_meanwhile();
}

void SimMachine::sweep() {
    for (u64 id : task_ids()) {
        if (random_.percent(20)) run_meanwhile();
        auto found = by_id_.find(id);
        if (found == by_id_.end()) continue;
        SimTask& task = *found->second;
        if (task.overlooked) continue;
        consider(task, task.run == SimTask::Run::running ? MoveCause::interrupt : MoveCause::walk);
    }
    for (auto& change : late_) sites_[change.entry] = change.target;
    late_.clear();
    check_worker();
}

Verdict SimMachine::examine(const Examiner& examiner, const SimTask& task, bool unreliable) const {
    WalkedStack stack(*this, task, unreliable);
    return examiner.examine(stack);
}

void SimMachine::consider(SimTask& task, MoveCause cause) {
    if (is_in_place(task)) {
        if (!has(Defect::hook_forgotten)) task.hook.reset();
        return;
    }
    if (has(Defect::no_stack_check)) return move(task, cause);
    bool unreliable = !task.stack.empty() && random_.percent(4);
    Verdict verdict = examine(*examiner_, task, unreliable);
    u64 id = task.id;
    if (has(Defect::stale_verdict)) {
        run(300);
        if (!by_id_.contains(id) || examiner_ == nullptr || is_in_place(task)) return;
    }
    if (verdict.kind == Verdict::Kind::unreliable && has(Defect::unreliable_is_clear))
        verdict.kind = Verdict::Kind::clear;
    switch (verdict.kind) {
        case Verdict::Kind::clear:
            return move(task, cause);
        case Verdict::Kind::inside:
            task.hook = has(Defect::hook_on_top) ? task.stack.size() - 1 : frame_at(verdict.hook_slot);
            task.hook_target = target_;
            return;
        case Verdict::Kind::unreliable:
            task.marked = true;
            // Who isn't running doesn't stop running either: it is looked at when it has run and stops again.
            return;
    }
}

void SimMachine::move(SimTask& task, MoveCause cause) {
    if (task.state != target_) --to_move_;
    task.state = target_;
    task.hook.reset();
    ++moves_[static_cast<usize>(cause)];
    ++all_moves_[static_cast<usize>(cause)];
    check_worker();
}

void SimMachine::hook_fired(SimTask& task) {
    task.hook.reset();
    if (has(Defect::hook_forgotten)) {
        if (examiner_ != nullptr && task.state == target_ && task.hook_target != target_) ++to_move_;
        if (examiner_ != nullptr && task.state != target_ && task.hook_target == target_) --to_move_;
        task.state = task.hook_target;
        return check_worker();
    }
    if (examiner_ == nullptr) return;
    if (has(Defect::hook_on_top)) return move(task, MoveCause::hook);
    if (!is_in_place(task)) consider(task, MoveCause::hook);
}

void SimMachine::check_worker() {
    if (examiner_ != nullptr && tasks_to_move() == 0) worker_due_ = true;
}

u64 SimMachine::tasks_to_move() const {
    return has(Defect::completes_early) && to_move_ < 3 ? 0 : to_move_;
}

// Whoever is born meanwhile is on the side of its creator, which may have been the old one, and moves when it first
// runs.
void SimMachine::force_moves() {
    usize left = has(Defect::force_forgets_one) ? 1 : 0;
    for (u64 id : task_ids()) {
        if (random_.percent(20)) run_meanwhile();
        auto found = by_id_.find(id);
        if (found == by_id_.end() || is_in_place(*found->second)) continue;
        if (left != 0) {
            --left;
            found->second->overlooked = true;
        }
        if (!found->second->overlooked) force_move(*found->second);
    }
    check_worker();
}

u64 SimMachine::started_tasks_to_move() const {
    auto counts = [&](const auto& task) { return !task->newborn && !is_in_place(*task); };
    return static_cast<u64>(std::count_if(tasks_.begin(), tasks_.end(), counts));
}

// Wherever it is, its next calls go to where it was moved; but one that has chosen already.
void SimMachine::force_move(SimTask& task) {
    Episode& episode = task.episode;
    if (episode.depth != 0) {
        ++counts_.forced_inside;
        episode.in_flight = task.stack.back().at == SimFrame::At::after_choice;
        if (episode.in_flight) ++counts_.forced_in_flight;
        episode.side = model_.change()->forward ? Episode::Side::after : Episode::Side::before;
    }
    move(task, MoveCause::force);
}

void SimMachine::visit_holders(HolderSink& sink) {
    run_meanwhile();
    for (auto& task : tasks_) {
        if (!is_in_place(*task)) sink.holder({task->id, "task", "function"});
    }
}

void SimMachine::survey(const Examiner& examiner, SurveySink& sink) {
    for (auto& task : tasks_) {
        auto verdict = examine(examiner, *task, false);
        if (verdict.kind != Verdict::Kind::clear) sink.not_clear(task->id, verdict.kind);
    }
}

// ---- time, records, searches ----------------------------------------------------------------------------------------

bool SimMachine::search_later() {
    if (commits_ && has(Defect::commit_frees_early)) return false;
    if (random_.percent(40)) return false;
    search_due_ = true;
    return true;
}

void SimMachine::release(void* memory, usize size) {
    if (has(Defect::leak_on_failure) && has_failed() && !std::exchange(has_leaked_, true)) return;
    StillMachine::release(memory, size);
}

void SimMachine::set_alarm(u64 at_ns) {
    bool is_deadline = model_.change() != nullptr && model_.change()->deadline_at != 0;
    if (has(Defect::deadline_ignored) && is_deadline) return;
    if (has(Defect::expiry_ignored) && !is_deadline) return;
    StillMachine::set_alarm(at_ns);
}

// Belongs the memory to a patch that was put out of force by force?
bool SimMachine::is_forced_out(AddressRange range) const {
    int patch = patch_at(range.begin);
    return patch != kNobody && model_.is_forced_out(patch);
}

}  // namespace graft::sim
