// The clock for applications: nanoseconds since boot. Context: any.
#pragma once

#include "arch/x86_64/clock.h"

namespace graft::kernel {

inline u64 now_ns() {
    return arch::now_ns();
}

}  // namespace graft::kernel
