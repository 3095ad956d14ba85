// Writing a file complete or not at all: an interrupted run leaves no half file behind. Context: host only.
#pragma once

#include <span>
#include <string>

#include "base/types.h"
#include "tools/graft/failure.h"

namespace graft::tool {

// In place of what `path` held. Its rights are those that new files get.
Outcome<void> write_whole_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace graft::tool
