// What self-patching counts in (tests/corpus/selfpatch.py): a word for each patched function, read from outside.
#include "tests/guest/corpus/probes.h"

extern "C" {
unsigned long graft_selfpatch_probe[4096];
}

long probe_selfpatch() {
    return static_cast<long>(graft_selfpatch_probe[0]);  // nobody's word
}
