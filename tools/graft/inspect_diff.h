// What a patch changes in the functions that it replaces, instruction by instruction.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "formats/klp.h"
#include "tools/graft/failure.h"

namespace graft::tool {

struct FunctionDiff {
    std::string old_name;  // linkage names
    u32 position = 0;
    std::string new_name;
    std::vector<std::string> lines;  // unified: "@@ +0x10 +0x10 @@", then ' ', '-', '+' and the instruction
};

// `object`: the patch's ELF object, `path` its name for messages. `base`: the image that the patch fits, or its build
// folder. Refused when the image isn't the one that the patch was built for.
Outcome<std::vector<FunctionDiff>> function_diffs(std::span<const std::byte> object,
                                                  const formats::KlpMetadata& metadata, const std::string& path,
                                                  const std::string& base);

}  // namespace graft::tool
