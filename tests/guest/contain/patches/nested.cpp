// Its first fault stops the task; a second one hits the same task while that is under way.
#include "kernel/task.h"
#include "patch/author.h"
#include "tests/guest/contain/job.h"

GRAFT_PATCH("nested");

namespace graft::contain_test {
namespace {

constinit u64* volatile nobody = nullptr;

void fault() {
    *const_cast<volatile u64*>(nobody) = 1;
}

bool do_job_faulty(Order&) {
    fault();
    return true;
}

void park_faulty() {
    if (kernel::current_task().is_stopping) fault();
    patch::original<kernel::park>()();
}

}  // namespace

GRAFT_REPLACE(do_job, do_job_faulty);
GRAFT_REPLACE(kernel::park, park_faulty);

}  // namespace graft::contain_test
