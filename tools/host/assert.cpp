// What a failed assertion means on the host: say it and stop, so that tests and sanitizers see it.
#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

void graft::assertion_failed(const char* condition, const char* file, unsigned line) {
    std::fprintf(stderr, "%s:%u: assertion failed: %s\n", file, line, condition);
    std::abort();
}
