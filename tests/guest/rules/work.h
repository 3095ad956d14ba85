// What the test's patches change, and what they need for it.
#pragma once

#include "base/types.h"

namespace graft::rules_test {

// The changing function: a fixed amount of work.
[[gnu::noinline]] u64 work();

// So many rounds of a loop.
u64 spin(u64 rounds);
inline constexpr u64 kRounds = 300;

// Is the running task one of those that aren't in the canary's share?
bool is_other_task();

}  // namespace graft::rules_test
