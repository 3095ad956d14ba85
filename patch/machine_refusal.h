// What the machine couldn't do, as a refusal.
#pragma once

#include "patch/machine.h"
#include "patch/refusal.h"

namespace graft::patch {

inline Refusal refusal_of(const MachineError& error, std::string_view patch) {
    auto code = RefusalCode::no_memory;
    switch (error.failure) {
        case MachineFailure::no_memory:
            break;
        case MachineFailure::bad_frames:
            code = RefusalCode::bad_frames;
            break;
        case MachineFailure::site_mismatch:
            code = RefusalCode::site_mismatch;
            break;
    }
    return Refusal{code, error.address.value, error.found, error.expected, patch, error.what};
}

}  // namespace graft::patch
