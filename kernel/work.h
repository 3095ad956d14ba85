// Deferred work: functions that run soon, one after the other, in a task of their own. For what an interrupt handler
// (or whoever may not sleep) must leave to others.
#pragma once

#include "base/intrusive_list.h"
#include "base/types.h"

namespace graft::kernel {

// Context: boot, after the memory is there.
void start_work_task();

// Whether an item that is queued lies in that memory. Looks at all of them. Context: any; no lock of rank wait or
// above.
bool has_work_within(AddressRange memory);

// The object must stay until its function has run; it may be queued again from there.
class WorkItem {
public:
    using Function = void (*)(void* argument);

    WorkItem(Function function, void* argument) : function_(function), argument_(argument) {}
    WorkItem(const WorkItem&) = delete;
    WorkItem& operator=(const WorkItem&) = delete;

    // Nothing happens when it is queued already. Context: any; no lock of rank wait or above.
    void queue();

private:
    friend struct WorkService;

    const Function function_;
    void* const argument_;
    ListHook hook_;
};

}  // namespace graft::kernel
