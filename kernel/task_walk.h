// TaskWalk: the stack of one task, from where it stopped or was interrupted to its entry frame.
//
// Context: whoever walks keeps the task from running (its run queue's lock) or is its own processor with interrupts
// off.
#pragma once

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/pure/unwind.h"
#include "kernel/task.h"
#include "patch/machine.h"

namespace graft::kernel {

class TaskWalk {
public:
    // `frame`: the task's registers as they were interrupted; null: it is switched out.
    TaskWalk(const Task& task, const arch::InterruptFrame* frame);
    TaskWalk(const TaskWalk&) = delete;
    TaskWalk& operator=(const TaskWalk&) = delete;

    bool next(arch::Frame& frame) { return walker_.next(frame); }
    bool complete() const { return walker_.complete(); }
    arch::Unreliable why() const { return walker_.why(); }
    VirtAddr pc() const { return walker_.pc(); }

private:
    arch::DirectStackReader memory_;
    arch::StackSegments segments_;
    arch::Walker walker_;
};

// The walk as the patch core wants it; remembers where the outermost frames asked about are.
class TaskStack final : public patch::Stack {
public:
    TaskStack(const Task& task, const arch::InterruptFrame* frame) : walk_(task, frame) {}

    bool next(patch::Frame& frame) override;
    bool reliable() const override { return walk_.complete(); }

private:
    TaskWalk walk_;
};

// How often a task was found inside a trampoline. Only counts. Context: any.
[[nodiscard]] u64 interrupted_trampolines();

arch::Registers registers_of(const arch::InterruptFrame& frame);

}  // namespace graft::kernel
