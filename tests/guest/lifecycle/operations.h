// The operations that the test draws from.
#pragma once

#include <string_view>

#include "tests/guest/lifecycle/driver.h"

namespace graft::lifecycle {

struct Operation {
    std::string_view kind;
    // Does one from settled to settled; false when the sets don't allow it now (nothing was done then).
    bool (*run)(Lifecycle& life);
};

std::span<const Operation> changes();   // operations.cpp
std::span<const Operation> refusals();  // refusals.cpp

}  // namespace graft::lifecycle
