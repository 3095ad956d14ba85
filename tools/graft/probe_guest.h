// The smallest guest there is: a direct-boot ELF image that writes to a port some thousand times and then reports
// success at isa-debug-exit. How long it takes tells whether an accelerator works on this host, and what leaving the
// guest costs: where virtualization is itself virtualized, that is what makes a guest slow.
#pragma once

#include <string>

namespace graft::tool {

std::string probe_guest();

}  // namespace graft::tool
