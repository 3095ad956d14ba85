#include "kernel/task_view.h"

#include "kernel/code_map.h"
#include "kernel/patch_moves.h"
#include "kernel/processor.h"
#include "kernel/scheduler.h"
#include "kernel/task_list.h"
#include "kernel/task_visit.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

TaskView view_of(Task& task) {
    TaskView view;
    view.id = task.id;
    view.name = task.name;
    view.name_length = task.name_length;
    view.priority = task.priority;
    view.is_idle = task.is_idle;
    view.move_count = task.moves.read(view.moves);
    TaskQueueGuard guard(task);
    view.state = task.state;
    view.processor = guard.processor().index;
    view.patch_state = task.context.patch_state;
    view.switches = task.switches;
    view.ran_ns = task.ran_ns;
    return view;
}

std::optional<BlockingView> blocking_view_of(Task& task) {
    TaskQueueGuard guard(task);
    if (is_in_place(task)) return std::nullopt;
    BlockingView view;
    view.id = task.id;
    view.name = task.name;
    view.name_length = task.name_length;
    view.unreliable = task.holding.unreliable;
    view.pc = task.holding.pc;
    view.frame = task.holding.slot;
    view.since_ns = task.holding.since_ns;
    return view;
}

class StackReading final : public TaskVisitor {
public:
    u32 visit(Task& task, arch::InterruptFrame* frame) override {
        if (task.state == TaskState::exited) {  // its stack may be gone
            view.why = "the task has ended";
            return 0;
        }
        TaskWalk walk(task, frame);
        arch::Frame found;
        while (walk.next(found)) {
            if (view.count == view.pcs.size()) {
                view.cut = true;
                continue;
            }
            view.pcs[view.count++] = found.lookup_pc;
        }
        view.reliable = walk.complete();
        view.why = arch::name_of(walk.why());
        return 0;
    }

    StackView view;
};

}  // namespace

void view_tasks(TaskSink& sink) {
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) sink.task(view_of(*task));
}

std::optional<TaskView> view_task(u64 id) {
    TaskRef task = find_task(id);
    if (!task) return std::nullopt;
    return view_of(*task);
}

void view_blocking(BlockingSink& sink) {
    if (!moves_are_allowed()) return;
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) {
        if (auto view = blocking_view_of(*task)) sink.blocking(*view);
    }
}

void append_held_in(TextBuffer& out, const BlockingView& view) {
    if (view.unreliable) {
        out.append("(stack not reliable)");
    } else if (!view.pc) {
        out.append("(not yet looked at)");
    } else {
        append_code_name(out, view.pc);
    }
}

std::optional<StackView> view_stack(u64 id) {
    StackReading reading;
    if (!visit_task(id, reading)) return std::nullopt;
    return reading.view;
}

void append_stack(TextBuffer& out, const StackView& stack) {
    for (usize i = 0; i < stack.count; ++i) {
        append_code_name(out, stack.pcs[i]);
        out.append("\n");
    }
    if (stack.cut) out.append("(more)\n");
    if (!stack.reliable) out.append("(not reliable: ", stack.why, ")\n");
}

}  // namespace graft::kernel
