// What the patch of this test changes: a function that tasks stay inside, each in its way, until `willing` is
// interrupted, which lets the others go.
#pragma once

#include <atomic>
#include <string_view>

#include "arch/x86_64/cpu.h"
#include "kernel/log.h"
#include "kernel/mutex.h"

namespace graft::nudge_test {

enum class Way : u8 {
    willing,  // in an interruptible wait for what never comes
    deaf,     // in a wait that can't be interrupted
    busy,     // running
};

extern kernel::Semaphore never;
extern kernel::Semaphore deaf_may_go;
extern std::atomic<u64> busy_may_go;  // changes when it may

void run_errand(Way way);

// What each version of run_errand() does; it tells in the log which one it is. Inlined: who waits is inside the
// version.
[[gnu::always_inline]] inline void do_errand(Way way, std::string_view version) {
    switch (way) {
        case Way::willing:
            kernel::log_parts(kernel::LogLevel::info, "willing waits, ", version);
            if (never.wait(kernel::kNever, kernel::Interruptible::yes) != kernel::WaitResult::interrupted) return;
            kernel::log_parts(kernel::LogLevel::info, "willing is interrupted, ", version);
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
