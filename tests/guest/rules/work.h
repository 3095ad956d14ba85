// What the test's patches change, and what they need for it.
#pragma once

#include "base/types.h"
#include "kernel/task.h"

namespace graft::rules_test {

// The changing function: a fixed amount of work.
[[gnu::noinline]] u64 work();

// So many rounds of a loop.
[[gnu::noinline]] u64 spin(u64 rounds);
inline constexpr u64 kRounds = 300;
inline constexpr u64 kSlowRounds = 600 * kRounds;

// Is the running task one of those that aren't in the canary's share?
inline bool is_other_task() {
    return kernel::current_task().name_view().starts_with("other");
}

}  // namespace graft::rules_test
