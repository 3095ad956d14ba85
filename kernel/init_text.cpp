#include "kernel/init_text.h"

#include <atomic>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "kernel/code_map.h"
#include "kernel/image.h"
#include "kernel/log.h"
#include "kernel/memory.h"
#include "kernel/task_visit.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

// Is some task in there, or on a stack that doesn't show where it is?
class Search final : public TaskVisitor {
public:
    explicit Search(AddressRange text) : text_(text) {}

    u32 visit(Task& task, arch::InterruptFrame* frame) override {
        if (task.state == TaskState::exited) return 0;
        TaskWalk walk(task, frame);
        arch::Frame found;
        bool is_inside = false;
        while (walk.next(found)) is_inside = is_inside || text_.contains(found.pc);
        // Several processors may be here at once.
        if (is_inside || !walk.complete()) has_found_.store(true, std::memory_order_relaxed);  // read after all visits
        return 0;
    }

    bool has_found() const { return has_found_.load(std::memory_order_relaxed); }

private:
    AddressRange text_;
    std::atomic<bool> has_found_{false};
};

bool is_in_use(AddressRange text) {
    Search search(text);
    visit_all_tasks(search);
    return search.has_found();
}

void give_back(AddressRange text) {
    PhysAddr physical = arch::image_physical(text.begin);
    auto unmapped = unmap_pages(text.begin, text.size());
    GRAFT_ASSERT(unmapped.has_value());
    auto writable = protect_pages(arch::direct_map(physical), text.size(), arch::PageAccess::read_write);
    GRAFT_ASSERT(writable.has_value());
    arch::flush_tlbs();
    add_pages(physical, text.size());
}

}  // namespace

void release_init_text() {
    AddressRange text = image_range(ImageSection::init_text);
    if (text.empty()) return;
    // The boot processor has interrupts off as long as it is in there: this waits for its end.
    arch::synchronise_processors();
    if (is_in_use(text)) {
        log(LogLevel::warning, "the code of the start is still in use, and stays");
        return;
    }
    forget_init_text();
    give_back(text);
    log_parts(LogLevel::info, text.size() / 1024, " KiB of code that only ran at boot are free");
}

}  // namespace graft::kernel
