// Assertions against programming errors, on in every build. Never reachable from input: input is refused with an error.
// The image's panic and the host's abort implement assertion_failed().
#pragma once

namespace graft {

[[noreturn]] void assertion_failed(const char* condition, const char* file, unsigned line);

}  // namespace graft

#define GRAFT_ASSERT(condition)                                        \
    do {                                                               \
        if (!(condition)) [[unlikely]]                                 \
            ::graft::assertion_failed(#condition, __FILE__, __LINE__); \
    } while (false)
