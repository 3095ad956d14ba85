// The release, of image and host command alike: the one place where it is written. Which build of it an image is, its
// build-id tells. Only what shows it includes this, so that a new number changes little else.
#pragma once

#include <string_view>

namespace graft::formats {

inline constexpr std::string_view kRelease = "0.1";

}  // namespace graft::formats
