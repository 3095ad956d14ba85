// What the patch of this test changes: a function that tasks stay inside, each in its way, until `willing` is
// interrupted, which lets the others go.
#pragma once

#include <atomic>

#include "kernel/mutex.h"

namespace graft::nudge_test {

enum class Way : u8 {
    willing,  // in an interruptible wait for what never comes
    deaf,     // in a wait that can't be interrupted
    busy,     // running
};

void run_errand(Way way);

extern kernel::Semaphore never;
extern kernel::Semaphore deaf_may_go;
extern std::atomic<u64> busy_may_go;  // changes when it may

}  // namespace graft::nudge_test
