#include "tools/graft/host_processor.h"

#include <algorithm>

namespace graft::tool {
namespace {

constexpr std::string_view kBlank = " \t";

// Takes the next word of the list off; empty at its end.
std::string_view take_word(std::string_view& list) {
    list.remove_prefix(std::min(list.find_first_not_of(kBlank), list.size()));
    std::string_view word = list.substr(0, list.find_first_of(kBlank));
    list.remove_prefix(word.size());
    return word;
}

bool lists_hypervisor(std::string_view line) {
    std::string_view name = take_word(line);
    if (name != "flags" && name != "flags:") return false;
    for (std::string_view word = take_word(line); !word.empty(); word = take_word(line)) {
        if (word == "hypervisor") return true;
    }
    return false;
}

}  // namespace

bool is_virtual_machine(std::string_view cpuinfo) {
    while (!cpuinfo.empty()) {
        std::string_view line = cpuinfo.substr(0, cpuinfo.find('\n'));
        if (lists_hypervisor(line)) return true;
        cpuinfo.remove_prefix(std::min(line.size() + 1, cpuinfo.size()));
    }
    return false;
}

}  // namespace graft::tool
