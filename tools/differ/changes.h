// The first stages of a comparison: objects read, placed, paired and compared.
#pragma once

#include "tools/differ/comparison.h"

namespace graft::differ {

// Reads the units of the request into `comparison`, finds where the baseline lies in the image, pairs and compares.
// Guesses, and refusals of what can't be paired, go to `result`.
PackResult<void> find_changes(Comparison& comparison, Result& result);

}  // namespace graft::differ
