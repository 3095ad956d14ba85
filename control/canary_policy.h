// A canary's share as the control tree takes it: `N%` (1 to 100), `tasks=PATTERN` (`*` any characters, `?` one), `new`,
// or `none`. Context: any.
#pragma once

#include <optional>
#include <string_view>

#include "patch/canary.h"

namespace graft::control {

// Nothing when it is malformed, or the pattern is empty or longer than patch::kMaxCanaryPattern.
std::optional<patch::CanaryPolicy> parse_canary_policy(std::string_view text);

}  // namespace graft::control
