#include "tests/guest/nudge/errand.h"

namespace graft::nudge_test {

constinit kernel::Semaphore never;
constinit kernel::Semaphore deaf_may_go;
constinit std::atomic<u64> busy_may_go{0};

void run_errand(Way way) {
    do_errand(way, "old");
}

}  // namespace graft::nudge_test
