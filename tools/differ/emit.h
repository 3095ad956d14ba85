// Makes the patch file of a plan.
#pragma once

#include "tools/differ/plan.h"

namespace graft::differ {

// The bytes of the `.klp`; result.sizes is filled. What can't be emitted is refused in `result`, and the bytes are
// empty. The held functions are those of result.decisions.
PackResult<std::vector<std::byte>> emit(const Comparison& comparison, const Plan& plan, Result& result);

}  // namespace graft::differ
