// The task in which the callbacks of patches' states run, one after the other, and in which shadow variables that a
// state leaves behind are ended. It is a task like any other: it moves, and a callback may sleep. When one has
// returned, the patch worker is woken; nobody waits for it.
#pragma once

#include <optional>
#include <string_view>

#include "kernel/task.h"
#include "patch/machine.h"

namespace graft::kernel {

inline constexpr std::string_view kCallbackTaskName = "patch-callbacks";

// Context: boot, after start_patch_worker().
void start_callback_task();

// None runs. Lock: the registry's. Context: task.
void start_callback(const patch::CallbackCall& call);
// What became of the last one; nothing while it runs. Context: task.
[[nodiscard]] std::optional<patch::CallbackEnd> callback_end();
// Context: any.
[[nodiscard]] u64 callback_task_id();

// ---- for faults (kernel/fault.h)

// Whether the task is the one of the callbacks, and in one. Context: any.
[[nodiscard]] bool runs_a_callback(const Task& task);
// The callback that the running task is in goes on no more: tells so, and the task begins anew. Context: task.
[[noreturn]] void end_faulted_callback();

}  // namespace graft::kernel
