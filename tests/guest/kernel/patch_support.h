// What the tests of the kernel's side of patch/machine.h share.
#pragma once

#include <array>

#include "kernel/patch_machine.h"
#include "kernel/task_view.h"
#include "patch/memory.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

inline kernel::PatchMachine machine;

inline bool is_blocked(const kernel::TaskHandle& task) {
    auto view = kernel::view_task(task.id());
    return view && view->state == kernel::TaskState::blocked;
}

// Of the next transition that the calling task goes through.
inline patch::Universe target_of_next() {
    return patch::other(static_cast<patch::Universe>(kernel::current_task().context.patch_state));
}

template <typename Function>
VirtAddr entry_of(Function* function) {
    return VirtAddr(reinterpret_cast<u64>(function));
}

// Everything in `changing` counts as changing; like the core's, without the core.
class RangeExaminer final : public patch::Examiner {
public:
    explicit RangeExaminer(AddressRange changing) : changing_(changing) {}

    patch::Verdict examine(patch::Stack& stack) const override {
        patch::Verdict verdict;
        verdict.kind = patch::Verdict::Kind::clear;
        patch::Frame frame;
        while (stack.next(frame)) {
            if (!changing_.contains(frame.lookup_pc)) continue;
            verdict.kind = patch::Verdict::Kind::inside;
            verdict.hook_slot = frame.return_slot;
        }
        if (!stack.reliable()) verdict.kind = patch::Verdict::Kind::unreliable;
        return verdict;
    }

private:
    AddressRange changing_;
};

// References by their kind.
class Found final : public patch::ReferenceSink {
public:
    void found(const patch::Reference& reference) override {
        ++counts[static_cast<usize>(reference.kind)];
        ++total;
        last = reference;
    }
    u32 of(patch::Reference::Kind kind) const { return counts[static_cast<usize>(kind)]; }

    std::array<u32, 8> counts{};
    u32 total = 0;
    patch::Reference last;
    patch::SearchReport report;
};

inline Found search(AddressRange range) {
    Found found;
    const AddressRange ranges[] = {range};
    found.report = machine.find_references(ranges, found);
    return found;
}

}  // namespace graft::tests
