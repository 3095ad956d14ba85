// Function names for people.
#pragma once

#include <string>
#include <string_view>

namespace graft::tool {

// A linkage name, or one with a position ("_Z5pricei,1"), as a programmer writes it; the position stays unless it is 1.
std::string readable_name(std::string_view name);

}  // namespace graft::tool
