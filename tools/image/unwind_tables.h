// The .eh_frame section of an image: the list of its frame descriptions, and a check that the rows follow the stack
// pointer.
#pragma once

#include <string>
#include <vector>

#include "tools/image/functions.h"

namespace graft::tools {

// All frame descriptions of code at or above image_base, sorted. Ends the program on a malformed section or an overlap.
std::vector<formats::ImageFrame> read_frames(const ElfImage& image);

// For each function above image_base: it has a frame description that covers all of it, and each instruction that
// changes rsp is followed by the row that this asks for. Text that belongs to no function is padding. One line a
// finding.
std::vector<std::string> check_rows(const ElfImage& image, const FunctionList& functions);

}  // namespace graft::tools
