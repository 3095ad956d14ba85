#include "tools/graft/failure.h"

#include <cerrno>
#include <cstring>

namespace graft::tool {

Failure system_failure(ExitCode code, const std::string& thing) {
    std::string reason = std::strerror(errno);
    return {code, thing + ": " + reason};
}

}  // namespace graft::tool
