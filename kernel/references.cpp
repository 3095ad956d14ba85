#include "kernel/references.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/sync.h"
#include "kernel/image.h"
#include "kernel/memory.h"
#include "kernel/patch_memory.h"
#include "kernel/processor.h"
#include "kernel/task_list.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

using Kind = patch::Reference::Kind;

class Search final : public LiveMemoryVisitor, public PatchDataVisitor {
public:
    Search(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) : ranges_(ranges), sink_(sink) {}

    void scan(VirtAddr begin, VirtAddr end, Kind kind, u64 owner) {
        for (VirtAddr place = begin.align_up(sizeof(u64)); place + sizeof(u64) <= end; place += sizeof(u64)) {
            u64 word = *place.as<const volatile u64>();
            if (is_hit(word)) report(kind, place, word, owner);
        }
    }

    void visit(VirtAddr begin, u64 size) override {
        if (begin == VirtAddr(current_task().context.fpu)) return;  // the ranges went through its registers
        scan(begin, begin + size, Kind::heap, 0);
    }

    void visit(AddressRange data) override {
        for (const AddressRange& range : ranges_) {
            if (range.overlaps(data)) return;  // the patch's own
        }
        scan(data.begin, data.end, Kind::patch_data, 0);
    }

    void visit_task(const Task& task) {
        if (task.state == TaskState::exited) return;  // never runs again
        if (is_hit(reinterpret_cast<u64>(task.function))) {
            report(Kind::task_entry, VirtAddr(&task.function), reinterpret_cast<u64>(task.function), task.id);
        }
        if (&task == &current_task()) {
            visit_own_frames(task);
        } else {
            scan(lowest_used(task), task.stack.end, Kind::stack, task.id);
        }
    }

private:
    bool is_hit(u64 word) const {
        for (const AddressRange& range : ranges_) {
            if (range.contains(VirtAddr(word))) return true;
        }
        return false;
    }

    void report(Kind kind, VirtAddr place, u64 word, u64 owner) { sink_.found({kind, place, word, owner}); }

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
            if (is_hit(found.lookup_pc.value)) report(Kind::stack, found.return_slot, found.pc.value, task.id);
        }
    }

    std::span<const AddressRange> ranges_;
    patch::ReferenceSink& sink_;
};

}  // namespace

void search_references(std::span<const AddressRange> ranges, patch::ReferenceSink& sink) {
    Search search(ranges, sink);
    arch::WorldStopped stopped;
    AddressRange data = image_range(ImageSection::data);
    search.scan(data.begin, data.end, Kind::data, 0);
    for_each_live_memory(search);
    for_each_patch_data(search);
    for (TaskRef task = next_task({}); task; task = next_task(std::move(task))) search.visit_task(*task);
}

}  // namespace graft::kernel
