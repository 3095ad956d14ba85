#include "kernel/work.h"

#include "base/assert.h"
#include "kernel/wait_queue.h"

namespace graft::kernel {

struct WorkService {
    SpinLock lock{LockRank::wait};
    IntrusiveList<WorkItem, &WorkItem::hook_> items;  // lock
    WaitQueue waiters;                                // lock

    static bool is_queued(const WorkItem& item) { return item.hook_.is_linked(); }

    WorkItem& take() {
        SpinGuard<IrqSave> guard(lock);
        while (items.empty()) waiters.wait(guard);
        return *items.pop_front();
    }

    static void run(const WorkItem& item) { item.function_(item.argument_); }
};

namespace {

constinit WorkService service;

void work_round(void*) {
    WorkService::run(service.take());
}

}  // namespace

void start_work_task() {
    TaskOptions options;
    options.repeats = true;
    options.name = "work";
    options.is_own = true;
    options.priority = kServicePriority;
    options.is_needed = true;
    auto handle = create_task(work_round, nullptr, options);
    GRAFT_ASSERT(handle);
}

bool has_work_within(AddressRange memory) {
    SpinGuard<IrqSave> guard(service.lock);
    for (WorkItem& item : service.items) {
        if (memory.contains(VirtAddr(&item))) return true;
    }
    return false;
}

void WorkItem::queue() {
    SpinGuard<IrqSave> guard(service.lock);
    if (WorkService::is_queued(*this)) return;
    service.items.push_back(*this);
    service.waiters.wake_one();
}

}  // namespace graft::kernel
