// Decisions about functions, from what was found and planned.
#pragma once

#include "tools/differ/plan.h"

namespace graft::differ {

// Fills result.decisions and result.added; warns of changes that have no effect on the running image.
void decide(const Comparison& comparison, Result& result);

}  // namespace graft::differ
