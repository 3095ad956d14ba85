// Faults in patches, and what is done about them. An exception is *a patch's* when it hits the text of a patch that is
// watched, or when a frame of such text is on the stack (a null pointer handed to memcpy), the innermost one counting;
// watched are patches in transition or on probation (Machine::watch_faults()), and while a callback of a state runs,
// its patch, for the task that runs it. Every other exception is fatal.
//
// A patch's fault is contained: the task is stopped for good, told of with its stack, and ended; the registry takes the
// patch back. That needs:
//
//   condition                                     | since
//   ----------------------------------------------+-------------------------------------------------------------------
//   the stack is reliable to the task's entry     | else nobody knows whose fault it is
//   not in an interrupt or exception handler      | what that one has begun for others would stay half done
//   no spinlock is held                           | who waits for it would spin for ever
//   interrupts were on                            | something counts on not being disturbed
//   the task isn't being stopped already          | a fault in the course of containing one
//   the kernel can do without the task            | Task::is_needed; one with a callback begins anew
//   no mutex is held                              | what it protects may be half changed
//   nothing of the kernel's refers to the task    | Anchor: an entry in a wait queue or among the timers, a joined task
//   or its stack                                  |
//   no timer that is set and no queued work lies  | the timer's or the work's task would follow it to where nothing is
//   on its stack                                  |
//
// Else it is fatal like any other, and the panic's reason says which of these it was.
//
// The task isn't unwound: nothing on its stack is run or released any more, memory that only its frames know is lost.
// It stays where it is, its frames intact, until the patch worker has told of it; to a transition it is a task inside
// what changes until it has ended. So no frame of it goes away before nothing can return into it.
//
//   exception → contain_fault() → kExitStop → graft_upcall_stop_task(): parked → worker: report_stopped_tasks()
//             → exit_task(), or for the task of the callbacks, restart_task()
#pragma once

#include <atomic>

#include "arch/x86_64/interrupt_frame.h"
#include "base/text.h"
#include "base/types.h"
#include "kernel/task.h"

namespace graft::kernel {

// A task that has faulted and waits to be told of; lies on its stack.
struct StoppedTask {
    Task& task;
    const arch::InterruptFrame& frame;
    u64 fault_address = 0;  // of a page fault
    VirtAddr in_patch;      // in the innermost frame of the patch
    StoppedTask* next = nullptr;
    std::atomic<bool> is_told = false;  // release in report_stopped_tasks(), acquire in the task
};

// Whether the running task is to be stopped because of this exception, by kExitStop. If not and the exception is a
// patch's, `reason` gets ": in patch NAME, not contained: …" behind what it is. `in_handler`: it hit an interrupt
// handler. Context: the exception's handler.
[[nodiscard]] bool contain_fault(const arch::InterruptFrame& frame, bool in_handler, TextBuffer& reason);

// "page fault", … Context: any.
[[nodiscard]] std::string_view name_of_exception(u64 vector);

// Called with each task that has been stopped since the last time, in their order; then the task ends. Context: task.
using StoppedTaskSink = void (*)(const StoppedTask& stopped);
void report_stopped_tasks(StoppedTaskSink sink);

// "page fault, write to 0x0" Context: any.
void append_fault(TextBuffer& out, const StoppedTask& stopped);

}  // namespace graft::kernel
