#include "tools/graft/names.h"

#include <cxxabi.h>

#include <cstdlib>

namespace graft::tool {

std::string readable_name(std::string_view name) {
    auto comma = name.rfind(',');
    std::string linkage(name.substr(0, comma));
    std::string_view position = comma == std::string_view::npos ? std::string_view() : name.substr(comma);
    if (position == ",1") position = {};
    int status = 0;
    char* demangled = abi::__cxa_demangle(linkage.c_str(), nullptr, nullptr, &status);
    std::string readable = status == 0 && demangled ? demangled : linkage;
    std::free(demangled);
    return readable.append(position);
}

}  // namespace graft::tool
