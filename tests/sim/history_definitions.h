// The patches of one history: of some sets, each with functions of its own and sometimes one of another set's.
#pragma once

#include <vector>

#include "tests/sim/model.h"
#include "tests/sim/object_builder.h"
#include "tests/sim/random.h"
#include "tests/sim/sim_image.h"

namespace graft::sim {

std::vector<PatchDefinition> make_definitions(Random& random);
// `is_wrong`: with the wrong position of an old function, so that it is refused.
Bytes make_file(const SimImage& image, const PatchDefinition& definition, bool is_wrong);

}  // namespace graft::sim
