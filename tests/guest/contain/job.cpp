#include "tests/guest/contain/job.h"

namespace graft::contain_test {

constinit std::atomic<Callback> faulty_callback{Callback::none};
constinit kernel::Semaphore may_go;
constinit std::atomic<u64> staying{0};

namespace {

constinit volatile u64* volatile nobody = nullptr;

}  // namespace

void stay() {
    staying.fetch_add(1, std::memory_order_relaxed);
    may_go.wait();
    staying.fetch_sub(1, std::memory_order_relaxed);
}

bool do_job(Order& order) {
    if (order.fault == Fault::stay || order.fault == Fault::original) stay();
    if (order.fault == Fault::original) *nobody = 1;
    ++order.done;
    return false;
}

}  // namespace graft::contain_test
