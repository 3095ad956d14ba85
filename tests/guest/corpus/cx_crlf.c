/* A file whose lines end in CR LF. */
#include "tests/guest/corpus/probes.h"

__attribute__((noinline)) static long windows(long value) {
    return value + 2;
}

long probe_crlf(void) {
    return windows(20);
}
