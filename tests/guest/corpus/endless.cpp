#include "tests/guest/corpus/endless.h"

#include "kernel/timers.h"
#include "tests/guest/corpus/probes.h"

namespace corpus {
namespace {

long count;
long stride = 1;

[[gnu::noinline]] void beat() {
    count += stride;
    graft::kernel::sleep_ns(20'000'000);
}

}  // namespace

void beat_for_ever(void*) {
    for (;;) beat();
}

long beats() {
    return count;
}

}  // namespace corpus

long probe_beats() {
    return corpus::beats() > 0 ? 1 : 0;
}
