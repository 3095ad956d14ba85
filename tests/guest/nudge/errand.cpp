#include "tests/guest/nudge/errand.h"

#include "arch/x86_64/cpu.h"
#include "kernel/log.h"

namespace graft::nudge_test {

constinit kernel::Semaphore never;
constinit kernel::Semaphore deaf_may_go;
constinit std::atomic<u64> busy_may_go{0};

void run_errand(Way way) {
    switch (way) {
        case Way::willing:
            kernel::log(kernel::LogLevel::info, "willing waits, old");
            if (never.wait(kernel::kNever, kernel::Interruptible::yes) != kernel::WaitResult::interrupted) return;
            kernel::log(kernel::LogLevel::info, "willing is interrupted, old");
            deaf_may_go.post();
            busy_may_go.fetch_add(1, std::memory_order_relaxed);
            return;
        case Way::deaf:
            deaf_may_go.wait();
            return;
        case Way::busy:
            for (u64 seen = busy_may_go.load(std::memory_order_relaxed);
                 busy_may_go.load(std::memory_order_relaxed) == seen;)
                arch::pause();
            return;
    }
}

}  // namespace graft::nudge_test
