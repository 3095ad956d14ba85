// Where the baseline's items lie in the image: by the link map, proved by the bytes there.
#pragma once

#include "tools/differ/comparison.h"
#include "tools/differ/link_map.h"

namespace graft::differ {

// Fills pair.placed. An error when the map doesn't know the object, or when some item's bytes, with what it refers to
// filled in, aren't what the image has at its address: then the image was linked from other objects.
PackResult<void> place_baseline(UnitPair& pair, const LinkMap& map, const tools::Image& image);

}  // namespace graft::differ
