// Child: a process that this one started and that never outlives it. SIGINT, SIGTERM and SIGHUP end the child first.
// One child at a time; not thread-safe.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "tools/graft/deadline.h"
#include "tools/graft/failure.h"

namespace graft::tool {

struct ChildEnd {
    enum class Cause {
        exited,   // value: its exit status
        killed,   // value: the signal
        stopped,  // value: the signal that this process received
        overdue,
    };
    Cause cause;
    int value = 0;
};

struct ChildOptions {
    std::vector<int> inherited;  // descriptors that stay open in the child
    bool silent = false;         // standard input, output and error are /dev/null
};

// Runs `command` (looked up in PATH) to its end, or ends it at the deadline or on a signal.
Outcome<ChildEnd> run_child(const std::vector<std::string>& command, const ChildOptions& options,
                            const Deadline& deadline);

}  // namespace graft::tool
