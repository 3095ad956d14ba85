// The smallest guest there is: a direct-boot ELF image that reports success at isa-debug-exit with its first
// instructions. It tells whether an accelerator works on this host, and how long an empty guest takes.
#pragma once

#include <string>

namespace graft::tool {

std::string probe_guest();

}  // namespace graft::tool
