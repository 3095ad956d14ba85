// The two parts of the bench. Each prints KTAP and figures, and returns whether all that it claims holds. Context:
// task.
#pragma once

#include <span>

#include "kernel/pure/command_line.h"

namespace graft::bench {

// calls=N    how many calls of the function each figure is taken over (default 100000)
bool bench_calls(std::span<const std::byte> file, const kernel::CommandLine& arguments);

// tasks=N,N…   how many sleeping tasks, in rising order (default 8,64)
// unit=ticks   figures are ticks of the time stamp counter (instructions with `-icount shift=0`) and not nanoseconds
bool bench_transitions(std::span<const std::byte> file, const kernel::CommandLine& arguments);

}  // namespace graft::bench
