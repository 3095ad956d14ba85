// What the host says of its processors.
#pragma once

#include <string_view>

namespace graft::tool {

// Whether the text of /proc/cpuinfo has the flag `hypervisor` [sdm 2A CPUID leaf 1, ECX bit 31; Linux's name for it]:
// the host is a virtual machine itself.
bool is_virtual_machine(std::string_view cpuinfo);

}  // namespace graft::tool
