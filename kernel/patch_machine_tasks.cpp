#include "arch/x86_64/return_hook.h"
#include "kernel/canary.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/nudge.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_moves.h"
#include "kernel/patch_search.h"
#include "kernel/references.h"
#include "kernel/task_list.h"
#include "kernel/task_view.h"
#include "kernel/task_visit.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

class Sweep final : public TaskVisitor {
public:
    u32 visit(Task& task, arch::InterruptFrame* frame) override { return examine_task(task, frame); }
};

class Force final : public TaskVisitor {
public:
    u32 visit(Task& task, arch::InterruptFrame* frame) override { return force_task(task, frame); }
};

class Holders final : public BlockingSink {
public:
    explicit Holders(patch::HolderSink& sink) : sink_(sink) {}

    void blocking(const BlockingView& view) override {
        Text<512> function;
        append_held_in(function, view);
        sink_.holder({view.id, view.name_view(), function.view()});
    }

private:
    patch::HolderSink& sink_;
};

// After the last move: nothing of the transition stays with a task.
class Clear final : public TaskVisitor {
public:
    u32 visit(Task& task, arch::InterruptFrame* frame) override {
        task.holding = {};
        task.examine_at_stop = false;
        (void)arch::take_off_return_hook(task.context, frame != nullptr);  // one that is firing clears itself
        return 0;
    }
};

// Finds who isn't clear; the visits run under locks, so the sink hears of it afterwards.
class Survey final : public TaskVisitor {
public:
    struct Entry {
        u64 task;
        patch::Verdict::Kind why;
    };

    Survey(const patch::Examiner& examiner, std::span<Entry> entries) : examiner_(examiner), entries_(entries) {}

    u32 visit(Task& task, arch::InterruptFrame* frame) override {
        if (task.state == TaskState::exited) return 0;
        TaskStack stack(task, frame);
        auto kind = examiner_.examine(stack).kind;
        if (kind == patch::Verdict::Kind::clear) return 0;
        // Several processors may be here at once.
        usize index = count_.fetch_add(1, std::memory_order_relaxed);  // read after all visits
        if (index < entries_.size()) entries_[index] = {task.id, kind};
        return 0;
    }

    void report(patch::SurveySink& sink) const {
        usize count = count_.load(std::memory_order_relaxed);
        for (usize i = 0; i < count && i < entries_.size(); ++i) sink.not_clear(entries_[i].task, entries_[i].why);
    }

private:
    const patch::Examiner& examiner_;
    std::span<Entry> entries_;
    std::atomic<usize> count_{0};
};

}  // namespace

void PatchMachine::begin_transition(const patch::Examiner& examiner, patch::Universe target) {
    allow_moves(examiner, target);
}

void PatchMachine::begin_canary(const patch::Examiner& examiner, patch::Universe target,
                                const patch::CanaryPolicy& policy) {
    limit_moves(policy, target);
    allow_moves(examiner, target);
}

void PatchMachine::promote_canary() {
    suspend_moves();
    lift_limit();
    resume_moves(move_target());
    synchronise();
}

patch::ShareCount PatchMachine::share() const {
    return share_count();
}

void PatchMachine::turn_transition(patch::Universe target) {
    suspend_moves();
    resume_moves(target);
    synchronise();
}

void PatchMachine::nudge_each(u64 period_ns) {
    kernel::nudge_each(period_ns);
}

void PatchMachine::end_transition() {
    kernel::nudge_each(0);
    suspend_moves();
    lift_limit();
    Clear clear;
    visit_all_tasks(clear);
    forget_examiner();
}

void PatchMachine::sweep() {
    Sweep sweep;
    visit_all_tasks(sweep);
    // A transition that was turned before anybody had moved has nobody to move, and so no last move.
    note_withdrawal();
    report_moves();
    wake_unmoved_own_tasks();
}

void PatchMachine::force_moves() {
    Force force;
    visit_all_tasks(force);
    report_moves();
    wake_unmoved_own_tasks();
}

void PatchMachine::visit_holders(patch::HolderSink& sink) {
    Holders holders(sink);
    view_blocking(holders);
}

u64 PatchMachine::tasks_to_move() const {
    return kernel::tasks_to_move();
}
patch::MoveCounts PatchMachine::moves() const {
    return move_counts();
}

void PatchMachine::survey(const patch::Examiner& examiner, patch::SurveySink& sink) {
    constexpr usize kSlack = 64;  // tasks that are made meanwhile
    usize room = task_count() + kSlack;
    void* memory = records_allocate(room * sizeof(Survey::Entry), 16);
    if (!memory) {
        log(patch::LogLevel::warning, "no memory to list the tasks that would hold a transition");
        return;
    }
    Survey survey(examiner, {static_cast<Survey::Entry*>(memory), room});
    visit_all_tasks(survey);
    survey.report(sink);
    records_release(memory);
}

bool PatchMachine::search_later() {
    return wake_patch_search();
}

void PatchMachine::prepare_search(std::span<const AddressRange> ranges) {
    prepare_reference_search(ranges);
}

patch::SearchReport PatchMachine::find_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) {
    patch::SearchReport report = search_references(ranges, sink);
    log_parts(LogLevel::info, "search for references: ", report.passes, " passes over ", report.pages, " pages in ",
              report.duration_ns / 1000, " us, of that ", report.stopped_pages, " with the processors stopped for ",
              report.stopped_ns / 1000, " us");
    return report;
}

}  // namespace graft::kernel
