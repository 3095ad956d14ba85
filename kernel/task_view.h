// What can be seen of tasks from outside: the control tree's /tasks and `blocking`, panic-free and consistent per task.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/text.h"
#include "base/types.h"
#include "kernel/task.h"

namespace graft::kernel {

struct TaskView {
    u64 id = 0;
    std::array<char, kTaskNameCapacity> name{};
    usize name_length = 0;
    TaskState state = TaskState::blocked;
    u32 processor = 0;
    u8 priority = 0;
    bool is_idle = false;
    u8 patch_state = 0;
    u64 switches = 0;
    u64 ran_ns = 0;
    std::array<Move, FlightRecorder::kCapacity> moves{};
    usize move_count = 0;

    std::string_view name_view() const { return {name.data(), name_length}; }
};

class TaskSink {
public:
    virtual void task(const TaskView& view) = 0;

protected:
    ~TaskSink() = default;
};

// In order of ids. No lock is held while the sink is called. Context: task.
void view_tasks(TaskSink& sink);
std::optional<TaskView> view_task(u64 id);

// A task that holds the running transition.
struct BlockingView {
    u64 id = 0;
    std::array<char, kTaskNameCapacity> name{};
    usize name_length = 0;
    bool unreliable = false;  // its stack can't be believed; else:
    VirtAddr pc;              // in the outermost changing frame
    VirtAddr frame;           // where that frame's return address lies
    u64 since_ns = 0;

    std::string_view name_view() const { return {name.data(), name_length}; }
};

class BlockingSink {
public:
    virtual void blocking(const BlockingView& view) = 0;

protected:
    ~BlockingSink() = default;
};

// Nothing when no transition runs. No lock is held while the sink is called. Context: task.
void view_blocking(BlockingSink& sink);

// "function+0x12 [patch]", or what is known instead. Context: any.
void append_held_in(TextBuffer& out, const BlockingView& view);

struct StackView {
    static constexpr usize kCapacity = 64;

    std::array<VirtAddr, kCapacity> pcs{};  // lookup pcs, innermost first
    usize count = 0;
    bool cut = false;  // deeper than kCapacity
    bool reliable = false;
    std::string_view why;  // when it isn't
};

// The task's stack as it is now; one that runs is interrupted for it. Nothing when the task has gone. Context: task.
std::optional<StackView> view_stack(u64 id);

// One line a frame, "function+0x12 [patch]\n", and a last line when the walk wasn't reliable. Context: any.
void append_stack(TextBuffer& out, const StackView& stack);

}  // namespace graft::kernel
