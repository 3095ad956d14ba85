// That all processors have come as far as their idle tasks. A processor makes its own when it enters the scheduler,
// which may be after the application has begun: who counts tasks or memory waits for the last. Context: task.
#pragma once

#include <utility>

#include "kernel/processor.h"
#include "kernel/task_list.h"
#include "tests/guest/shared/eventually.h"

namespace graft::tests {

inline u32 idle_tasks() {
    u32 count = 0;
    for (kernel::TaskRef task = kernel::next_task({}); task; task = kernel::next_task(std::move(task)))
        count += task->is_idle ? 1 : 0;
    return count;
}

// False when they don't come.
[[nodiscard]] inline bool wait_for_idle_tasks() {
    return eventually([] { return idle_tasks() == kernel::processor_count(); });
}

}  // namespace graft::tests
