// The same, and says that it is new.
#include "tests/guest/nudge/errand.h"
#include "arch/x86_64/cpu.h"
#include "kernel/log.h"
#include "patch/author.h"

GRAFT_PATCH("errand");

namespace graft::nudge_test {
namespace {

void run_errand_new(Way way) {
    switch (way) {
        case Way::willing:
            kernel::log(kernel::LogLevel::info, "willing waits, new");
            if (never.wait(kernel::kNever, kernel::Interruptible::yes) != kernel::WaitResult::interrupted) return;
            kernel::log(kernel::LogLevel::info, "willing is interrupted, new");
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

}  // namespace

GRAFT_REPLACE(run_errand, run_errand_new);

}  // namespace graft::nudge_test
