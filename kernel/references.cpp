#include "kernel/references.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "kernel/clean_pages.h"
#include "kernel/image.h"
#include "kernel/interrupts.h"
#include "kernel/memory.h"
#include "kernel/patch_memory.h"
#include "kernel/processor.h"
#include "kernel/task_list.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

using Kind = patch::Reference::Kind;

// What the first step leaves to the second; the searching task's own.
struct Prepared {
    CleanPages* clean = nullptr;  // null: nothing was prepared
    u64 began_ns = 0;
    patch::SearchReport report;
};
constinit Prepared prepared;

// Whether words point into the ranges; most don't come near.
class Targets {
public:
    explicit Targets(std::span<const AddressRange> ranges) : ranges_(ranges) {
        for (const AddressRange& range : ranges) {
            if (range.begin.value < lowest_) lowest_ = range.begin.value;
            if (range.end.value > end_) end_ = range.end.value;
        }
    }

    bool contain(u64 word) const {
        if (word < lowest_ || word >= end_) return false;
        for (const AddressRange& range : ranges_) {
            if (range.contains(VirtAddr(word))) return true;
        }
        return false;
    }

private:
    std::span<const AddressRange> ranges_;
    u64 lowest_ = ~u64{0};
    u64 end_ = 0;
};

u64 frame_at(VirtAddr direct) {
    return arch::direct_map_physical(direct).value / kPageSize;
}
VirtAddr page_of(u64 frame) {
    return arch::direct_map(PhysAddr{frame * kPageSize});
}
bool is_searched(PageUse use) {
    return use == PageUse::heap_slab || use == PageUse::heap_large || use == PageUse::raw;
}

// ---- while the system runs

class RunningSearch {
public:
    RunningSearch(std::span<const AddressRange> ranges, CleanPages& clean) : targets_(ranges), clean_(clean) {}

    // Returns how many pages it looked through.
    u64 pass() {
        looked_through_ = 0;
        clean_.follow_writes();
        AddressRange data = image_range(ImageSection::data);
        look_through_run(arch::image_physical(data.begin).value / kPageSize, pages_for(data.size()));
        for_each_page_run([this](const PageRun& run) {
            // The data of patches is among the pages of their use; text and constants do no harm.
            if (is_searched(run.use) || run.use == PageUse::patch) look_through_run(run.first, run.count);
        });
        return looked_through_;
    }

private:
    void look_through_run(u64 first, u64 count) {
        for (u64 frame = first; frame < first + count; ++frame) {
            if (!clean_.is_clean(frame)) look_through(frame);
        }
    }

    // Whole, whatever lies there: objects come and go meanwhile. The bit is set before: a write that comes after it
    // was read takes it away again.
    void look_through(u64 frame) {
        clean_.set_clean(frame);
        ++looked_through_;
        auto* words = page_of(frame).as<const volatile u64>();
        for (usize i = 0; i < kPageSize / sizeof(u64); ++i) {
            if (!targets_.contain(words[i])) continue;
            clean_.clear(frame);
            return;
        }
    }

    Targets targets_;
    CleanPages& clean_;
    u64 looked_through_ = 0;
};

bool is_worth_another_pass(u32 passes, u64 pages, u64 before) {
    constexpr u32 kMostPasses = 8;
    constexpr u64 kFew = 32;
    return passes < kMostPasses && pages > kFew && pages < before / 4 * 3;
}

// ---- while it is stopped

class StoppedSearch final : public PatchDataVisitor {
public:
    // `clean` null: every page is looked through.
    StoppedSearch(std::span<const AddressRange> ranges, const CleanPages* clean, patch::ReferenceSink& sink)
        : targets_(ranges), clean_(clean), sink_(sink) {}

    u64 pages() const { return pages_; }

    void visit_image() {
        AddressRange data = image_range(ImageSection::data);
        u64 frame = arch::image_physical(data.begin).value / kPageSize;
        for (VirtAddr page = data.begin; page < data.end; page += kPageSize, ++frame) {
            if (!must_see(frame)) continue;
            VirtAddr end = data.end - page < kPageSize ? data.end : VirtAddr(page + kPageSize);
            scan(page, end, Kind::data, 0);
        }
    }

    void visit_run(const PageRun& run) {
        if (!is_searched(run.use)) return;
        for (u64 frame = run.first; frame < run.first + run.count; ++frame) {
            if (!must_see(frame)) continue;
            if (run.use == PageUse::heap_slab) {
                Heap::for_each_object(page_of(frame).as<void>(),
                                      [this](VirtAddr begin, u64 size) { visit_object(begin, size); });
            } else {
                scan(page_of(frame), VirtAddr(page_of(frame) + kPageSize), Kind::heap, 0);
            }
        }
    }

    void visit(AddressRange data, VirtAddr direct) override {
        for (u64 done = 0; done < data.size(); done += kPageSize) {
            if (!must_see(frame_at(direct + done))) continue;
            scan(VirtAddr(data.begin + done), VirtAddr(data.begin + done + kPageSize), Kind::patch_data, 0);
        }
    }

    void visit_task(const Task& task) {
        if (task.state == TaskState::exited) return;  // never runs again
        if (targets_.contain(reinterpret_cast<u64>(task.function))) {
            report(Kind::task_entry, VirtAddr(static_cast<const void*>(&task.function)),
                   reinterpret_cast<u64>(task.function), task.id);
        }
        if (&task == &current_task()) {
            visit_own_frames(task);
        } else {
            scan(lowest_used(task), task.stack.end, Kind::stack, task.id);
        }
    }

private:
    bool must_see(u64 frame) {
        if (clean_ && clean_->is_clean(frame)) return false;
        ++pages_;
        return true;
    }

    void visit_object(VirtAddr begin, u64 size) {
        if (begin == VirtAddr(current_task().context.fpu)) return;  // the ranges went through its registers
        scan(begin, VirtAddr(begin + size), Kind::heap, 0);
    }

    void scan(VirtAddr begin, VirtAddr end, Kind kind, u64 owner) {
        for (VirtAddr place = begin.align_up(sizeof(u64)); place + sizeof(u64) <= end; place += sizeof(u64)) {
            u64 word = *place.as<const volatile u64>();
            if (targets_.contain(word)) report(kind, place, word, owner);
        }
    }

    void report(Kind kind, VirtAddr place, u64 word, u64 owner) {
        if (kind == Kind::data && is_interrupt_handler(place)) kind = Kind::interrupt_handler;
        sink_.found({kind, place, word, owner});
    }

    // A running task's registers lie in the frame of the interrupt that stopped it, on its own stack.
    static VirtAddr lowest_used(const Task& task) {
        for (u32 i = 0; i < processor_count(); ++i) {
            if (processor(i).current != &task) continue;
            if (const arch::InterruptFrame* frame = arch::stopped_frame(i)) return VirtAddr(frame);
        }
        return VirtAddr(task.context.rsp);
    }

    void visit_own_frames(const Task& task) {
        arch::InterruptFrame here{};
        here.rip = reinterpret_cast<u64>(__builtin_return_address(0));
        auto* frame_pointer = static_cast<u64*>(__builtin_frame_address(0));
        here.rsp = reinterpret_cast<u64>(frame_pointer + 2);
        here.rbp = *frame_pointer;
        TaskWalk walk(task, &here);
        arch::Frame found;
        while (walk.next(found)) {
            if (!targets_.contain(found.lookup_pc.value)) continue;
            report(Kind::stack, found.return_slot, found.pc.value, task.id);
        }
    }

    Targets targets_;
    const CleanPages* clean_;
    patch::ReferenceSink& sink_;
    u64 pages_ = 0;
};

void search_stopped(StoppedSearch& search, CleanPages* clean) {
    if (clean) clean->follow_last_writes();
    search.visit_image();
    for_each_page_run([&search](const PageRun& run) { search.visit_run(run); });
    for_each_patch_data(search);
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) search.visit_task(*task);
}

}  // namespace

void prepare_reference_search(std::span<const AddressRange> ranges) {
    GRAFT_ASSERT(!prepared.clean);
    prepared = {};
    prepared.began_ns = arch::now_ns();
    prepared.clean = CleanPages::create();
    if (!prepared.clean) return;
    RunningSearch search(ranges, *prepared.clean);
    patch::SearchReport& report = prepared.report;
    u64 before = ~u64{0};
    for (;;) {
        u64 pages = search.pass();
        ++report.passes;
        report.pages += pages;
        if (!is_worth_another_pass(report.passes, pages, before)) return;
        before = pages;
    }
}

patch::SearchReport search_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) {
    Prepared work = prepared;
    prepared = {};
    StoppedSearch search(ranges, work.clean, sink);
    u64 began_ns = arch::now_ns();
    {
        arch::WorldStopped stopped;
        u64 stopped_ns = arch::now_ns();
        search_stopped(search, work.clean);
        work.report.stopped_ns = arch::now_ns() - stopped_ns;
    }
    work.report.stopped_pages = search.pages();
    work.report.pages += search.pages();
    work.report.duration_ns = arch::now_ns() - (work.clean ? work.began_ns : began_ns);
    if (work.clean) CleanPages::destroy(work.clean);
    return work.report;
}

}  // namespace graft::kernel
