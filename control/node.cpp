#include "control/node.h"

namespace graft::control {

ControlResult<usize> File::read(u64, std::span<std::byte>, bool&) {
    return refuse(ErrorNumber::no_access, "the file can't be read");
}

ControlResult<void> File::write(u64, std::span<const std::byte>) {
    return refuse(ErrorNumber::no_access, "the file can't be written");
}

ControlResult<void> File::sync() {
    return {};
}

ControlResult<void> File::close() {
    return {};
}

}  // namespace graft::control
