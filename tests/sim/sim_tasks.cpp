// What simulated tasks do.
#include "tests/sim/sim_machine.h"

namespace graft::sim {

using namespace patch;

namespace {

constexpr usize kDeepest = 7;
constexpr u64 kIntoBody = 8;  // past the call site

}  // namespace

SimMachine::SimMachine(SimImage& image, Model& model, Random& random, const SimOptions& options)
    : StillMachine(image),
      model_(model),
      random_(random),
      options_(options),
      current_(options.processors),
      stale_(options.processors) {
    for (usize i = 0; i < options.tasks; ++i) start_task(nullptr);
}

SimTask& SimMachine::start_task(const SimTask* creator) {
    auto task = std::make_unique<SimTask>();
    task->id = next_task_++;
    task->name = (task->id % 3 == 0 ? "web-" : "job-") + std::to_string(task->id);
    task->is_own = task->id % 7 == 5;
    if (creator != nullptr) assign_newborn(*task, *creator);
    ++counts_.births;
    by_id_[task->id] = task.get();
    tasks_.push_back(std::move(task));
    if (examiner_ != nullptr && !is_in_place(*tasks_.back())) ++to_move_;
    return *tasks_.back();
}

void SimMachine::end_task(SimTask& task) {
    ++counts_.deaths;
    if (task.run == SimTask::Run::running) current_[task.processor] = nullptr;
    if (examiner_ != nullptr && !is_in_place(task)) {
        ++moves_[static_cast<usize>(MoveCause::exit)];
        ++all_moves_[static_cast<usize>(MoveCause::exit)];
        if (!has(Defect::exit_still_counts)) --to_move_;
        check_worker();
    }
    by_id_.erase(task.id);
    for (auto& slot : tasks_) {
        if (slot.get() != &task) continue;
        std::swap(slot, tasks_.back());
        tasks_.pop_back();
        return;
    }
}

void SimMachine::stop(SimTask& task, SimTask::Run run) {
    current_[task.processor] = nullptr;
    task.run = run;
    if (!task.marked) return;
    task.marked = false;
    if (examiner_ != nullptr) consider(task, MoveCause::interrupt);
}

// ---- faults ---------------------------------------------------------------------------------------------------------

std::optional<SimFault> SimMachine::fault() {
    usize first = random_.below(options_.processors);
    for (usize i = 0; i < options_.processors; ++i) {
        SimTask* task = current_[(first + i) % options_.processors];
        bool runs_a_body = task != nullptr && !task->stack.empty() && task->stack.back().at == SimFrame::At::body;
        if (!runs_a_body) continue;
        if (auto fault = fault_of(*task)) return fault;
    }
    return std::nullopt;
}

std::optional<SimFault> SimMachine::fault_of(SimTask& task) {
    for (auto frame = task.stack.rbegin(); frame != task.stack.rend(); ++frame) {
        if (frame->at != SimFrame::At::body || frame->version == kNobody) continue;
        bool is_overlooked = has(Defect::fault_uncovered) && model_.change() == nullptr;
        bool is_contained = is_watched(frame->code) && !is_overlooked;
        if (is_contained != model_.is_covered(frame->version)) violation("other faults are contained than must be");
        if (!is_contained) continue;
        SimFault fault{task.id, frame->code, frame->version};
        stop(task, SimTask::Run::stopped);
        return fault;
    }
    ++counts_.fatal_faults;
    return std::nullopt;
}

void SimMachine::end_stopped(const SimFault& fault) {
    if (has(Defect::stopped_stays)) return;
    end_task(*by_id_.at(fault.task));
}

// ---- the scheduler --------------------------------------------------------------------------------------------------

void SimMachine::run(u64 most) {
    if (running_ || most == 0) return;
    running_ = true;
    for (u64 i = random_.below(most); i > 0 && !broken(); --i) event();
    running_ = false;
}

void SimMachine::event() {
    ++events_;
    usize processor = random_.below(options_.processors);
    u64 what = random_.below(100);
    if (what < 86) return step_processor(processor);
    if (what < 93) return preempt(processor);
    if (what < 96) return wake_one();
    if (what < 98) {
        stale_[processor] = false;
        return;
    }
    SimTask* task = current_[processor];
    if (task != nullptr && !pointers_.empty()) fire_pointer(*task);
}

void SimMachine::step_processor(usize processor) {
    if (current_[processor] == nullptr) return preempt(processor);
    step(*current_[processor]);
}

void SimMachine::preempt(usize processor) {
    if (current_[processor] != nullptr) stop(*current_[processor], SimTask::Run::ready);
    for (int tries = 0; tries < 6 && !tasks_.empty(); ++tries) {
        SimTask& task = *tasks_[random_.below(tasks_.size())];
        if (task.run != SimTask::Run::ready) continue;
        task.run = SimTask::Run::running;
        task.processor = processor;
        current_[processor] = &task;
        return;
    }
}

void SimMachine::wake_one() {
    for (int tries = 0; tries < 6 && !tasks_.empty(); ++tries) {
        SimTask& task = *tasks_[random_.below(tasks_.size())];
        if (task.run != SimTask::Run::blocked) continue;
        task.run = SimTask::Run::ready;
        return;
    }
}

void SimMachine::wake_all() {
    for (auto& task : tasks_) {
        if (task->run == SimTask::Run::blocked) task->run = SimTask::Run::ready;
    }
}

// A timer, say, that a patch gave a pointer to its helper: it is called on whoever runs, or it is dropped.
void SimMachine::fire_pointer(SimTask& task) {
    usize index = random_.below(pointers_.size());
    Pointer pointer = pointers_[index];
    if (random_.percent(15)) {
        pointers_.erase(pointers_.begin() + static_cast<std::ptrdiff_t>(index));
        return;
    }
    bool between = task.stack.empty() || task.stack.back().at == SimFrame::At::body;
    // A newborn has interrupts off until it has asked where it belongs.
    if (!between || task.newborn || task.stack.size() >= kDeepest) return;
    if (!is_live_text(pointer.target)) return violation("a pointer leads into freed code");
    SimFrame frame;
    frame.at = SimFrame::At::body;
    frame.own = pointer.patch;
    frame.version = pointer.patch;
    frame.code = pointer.target;
    push(task, frame);
}

// ---- one task -------------------------------------------------------------------------------------------------------

void SimMachine::step(SimTask& task) {
    if (task.newborn) {
        task.newborn = false;
        if (examiner_ != nullptr && !is_in_place(task)) consider(task, MoveCause::birth);
        return;
    }
    if (task.stack.empty()) return step_outside(task);
    SimFrame& frame = task.stack.back();
    switch (frame.at) {
        case SimFrame::At::site:
            return step_site(task, frame);
        case SimFrame::At::before_choice: {
            auto set = trampolines_.find(frame.trampolines);
            if (set == trampolines_.end()) return violation("a task runs in a freed trampoline");
            frame.chosen = set->second.dispatches[frame.slot].version[static_cast<usize>(task.state)];
            frame.at = SimFrame::At::after_choice;
            frame.pc += 8;
            return;
        }
        case SimFrame::At::after_choice:
            if (!trampolines_.contains(frame.trampolines)) return violation("a task runs in a freed trampoline");
            return land(task, frame, frame.chosen);
        case SimFrame::At::gate:
            return step_gate(task, frame);
        case SimFrame::At::body:
            return step_body(task);
    }
}

void SimMachine::step_outside(SimTask& task) {
    if (random_.percent(3) && tasks_.size() > options_.fewest_tasks && !keep_tasks_) return end_task(task);
    if (random_.percent(5)) return stop(task, SimTask::Run::blocked);
    if (random_.percent(3) && tasks_.size() < options_.most_tasks && !keep_tasks_) {
        start_task(&task);
        return;
    }
    call(task, random_.below(image_.ordinary_count()));
}

void SimMachine::step_site(SimTask& task, SimFrame& frame) {
    VirtAddr entry = image_.function(*frame.function).entry();
    VirtAddr target = seen_site(task.processor, entry);
    if (!target) return land(task, frame, entry + kCallSiteSize);
    if (target == measured_site(entry)) {
        // No part of the function, other than the site itself: who is in nothing else is outside again, and may move.
        if (frame.counts && task.episode.depth == 1) task.episode.side = Episode::Side::open;
        frame.at = SimFrame::At::gate;
        frame.pc = target;
        return;
    }
    for (auto& [handle, set] : trampolines_) {
        if (!set.text.contains(target)) continue;
        frame.at = SimFrame::At::before_choice;
        frame.trampolines = handle;
        frame.slot = (target - set.text.begin) / (set.text.size() / set.dispatches.size());
        frame.pc = target;
        return;
    }
    if (!is_live_text(target)) return violation("a call site leads into freed code");
    land(task, frame, target);
}

// Whenever that is: measuring may have ended meanwhile, or be another one.
void SimMachine::step_gate(SimTask& task, SimFrame& frame) {
    VirtAddr entry = image_.function(*frame.function).entry();
    auto found = measured_.find(entry);
    if (found != measured_.end()) return land(task, frame, found->second.version[static_cast<usize>(task.state)]);
    frame.at = SimFrame::At::site;
    frame.pc = entry;
}

// The call arrives at a version of the function.
void SimMachine::land(SimTask& task, SimFrame& frame, VirtAddr target) {
    usize function = *frame.function;
    bool is_original = target == image_.function(function).entry() + kCallSiteSize;
    int patch = is_original ? kNobody : patch_at(target);
    if (!is_original && patch == kNobody) return violation("a call arrives in freed code");
    auto wrong = model_.judge(task.episode, function, patch, !task.is_chosen);
    if (!wrong.empty()) return violation(wrong + ", task " + std::to_string(task.id));
    frame.at = SimFrame::At::body;
    frame.chosen = {};  // a drain may have led it elsewhere than it had chosen
    frame.code = is_original ? image_.function(function).entry() : target;
    frame.version = patch;
    frame.pc = some_pc(frame);
}

void SimMachine::step_body(SimTask& task) {
    SimFrame& frame = task.stack.back();
    int patch = frame.version;
    if (patch != kNobody && patch_at(frame.code) != patch) return violation("a task runs in freed code");
    u64 what = random_.below(100);
    if (what < 45 || task.stack.size() >= kDeepest) return return_from(task);
    if (what < 55 && patch != kNobody && frame.own == kNobody) {
        if (model_.definition(patch).leaks && random_.percent(30)) pointers_.push_back({helper_of(frame.code), patch});
        SimFrame helper;
        helper.at = SimFrame::At::body;
        helper.own = patch;
        helper.version = patch;
        helper.code = helper_of(frame.code);
        return push(task, helper);
    }
    if (what < 60 && patch != kNobody && frame.function) {  // calls the original of what it replaces
        SimFrame original = frame;
        original.code = image_.function(*frame.function).entry();
        original.version = kNobody;
        original.counts = false;
        return push(task, original);
    }
    if (what < 65) return stop(task, SimTask::Run::blocked);
    if (what < 67 && tasks_.size() < options_.most_tasks && !keep_tasks_) {
        start_task(&task).newborn = !has(Defect::birth_wrong_state);
        return;
    }
    if (what < 72) {
        frame.pc = some_pc(frame);
        return;
    }
    call(task, random_.below(image_.ordinary_count()));
}

void SimMachine::call(SimTask& task, usize function) {
    SimFrame frame;
    frame.function = function;
    push(task, frame);
}

void SimMachine::push(SimTask& task, const SimFrame& frame) {
    task.stack.push_back(frame);
    SimFrame& pushed = task.stack.back();
    pushed.pc = pushed.at == SimFrame::At::site ? image_.function(*pushed.function).entry() : some_pc(pushed);
    enter_episode(task, pushed);
}

void SimMachine::return_from(SimTask& task) {
    SimFrame gone = task.stack.back();
    task.stack.pop_back();
    if (gone.counts && --task.episode.depth == 0) task.episode = {};
    if (task.hook && *task.hook == task.stack.size()) hook_fired(task);
}

VirtAddr SimMachine::some_pc(const SimFrame& frame) {
    VirtAddr body = frame.code + kIntoBody + random_.below(8);
    if (!frame.function || !image_.range().contains(frame.code)) return body;
    auto& parts = image_.function(*frame.function).parts;
    return parts.size() > 1 && random_.percent(40) ? parts[1].begin + random_.below(8) : body;
}

int SimMachine::patch_at(VirtAddr address) const {
    auto* code = code_at(address);
    if (code == nullptr) return kNobody;
    for (usize i = 0; i < model_.definitions().size(); ++i) {
        if (model_.definitions()[i].name == code->patch_name) return static_cast<int>(i);
    }
    return kNobody;
}

// A frame that belongs to the change that is under way prolongs the task's episode.
void SimMachine::enter_episode(SimTask& task, SimFrame& frame) {
    frame.counts = (frame.function && model_.is_changing(*frame.function)) || model_.is_changing_code(frame.version);
    if (frame.counts) ++task.episode.depth;
}

// Who is inside when a change begins goes on with the version before it. A gate is no part of its function, and a call
// that is on its way through one has yet to go to a version.
void SimMachine::begin_episodes() {
    for (auto& task : tasks_) {
        task->episode = {};
        for (SimFrame& frame : task->stack) enter_episode(*task, frame);
        bool is_on_its_way =
            !task->stack.empty() && task->stack.back().at == SimFrame::At::gate && task->stack.back().counts;
        if (task->episode.depth > (is_on_its_way ? 1 : 0)) task->episode.side = Episode::Side::before;
    }
}

VirtAddr SimMachine::helper_of(VirtAddr patch_text) const {
    for (auto& symbol : code_at(patch_text)->symbols) {
        if (symbol.name == "helper") return symbol.address;
    }
    return patch_text;
}

VirtAddr SimMachine::seen_site(usize processor, VirtAddr entry) const {
    if (!stale_[processor]) return site(entry);
    auto found = old_sites_.find(entry);
    return found == old_sites_.end() ? VirtAddr() : found->second;
}

}  // namespace graft::sim
