#include "kernel/task_walk.h"

#include "arch/x86_64/context.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/percpu.h"
#include "kernel/code_map.h"

namespace graft::kernel {

namespace {

constinit std::atomic<u64> trampolines_seen{0};

// What each processor remembers of the rows it has seen; used with interrupts off.
constinit std::array<arch::RowCache, arch::kMaxProcessors> caches{};

arch::RowCache* cache_here() {
    if (arch::interrupts_enabled()) return nullptr;
    arch::RowCache& cache = caches[arch::this_cpu().index];
    cache.bring_up_to_date(code_generation());
    return &cache;
}

arch::Registers starting_registers(const Task& task, const arch::InterruptFrame* frame) {
    if (frame) return registers_of(*frame);
    return arch::Registers::switched_out(VirtAddr(arch::graft_switch_resume), VirtAddr(task.context.rsp));
}

arch::HookRecord hook_of(const Task& task) {
    return {VirtAddr(task.context.hook.slot), VirtAddr(task.context.hook.original), task.context.measured.open()};
}

}  // namespace

u64 interrupted_trampolines() {
    return trampolines_seen.load(std::memory_order_relaxed);
}

arch::Registers registers_of(const arch::InterruptFrame& frame) {
    arch::Registers registers;
    registers.set(arch::Register::rip, frame.rip);
    registers.set(arch::Register::rsp, frame.rsp);
    registers.set(arch::Register::rbx, frame.rbx);
    registers.set(arch::Register::rbp, frame.rbp);
    registers.set(arch::Register::r10, frame.r10);
    registers.set(arch::Register::r12, frame.r12);
    registers.set(arch::Register::r13, frame.r13);
    registers.set(arch::Register::r14, frame.r14);
    registers.set(arch::Register::r15, frame.r15);
    return registers;
}

TaskWalk::TaskWalk(const Task& task, const arch::InterruptFrame* frame)
    : segments_(arch::StackSegments::of_task(task.stack, task.stack.end - arch::kTaskEntryFrameOffset)),
      walker_(code_map(), memory_, segments_, starting_registers(task, frame), hook_of(task), true, cache_here()) {}

bool TaskStack::next(patch::Frame& frame) {
    arch::Frame found;
    if (!walk_.next(found)) return false;
    if (found.known == arch::KnownFrame::trampoline) trampolines_seen.fetch_add(1, std::memory_order_relaxed);
    frame.lookup_pc = found.lookup_pc;
    frame.return_slot = found.return_slot;
    return true;
}

}  // namespace graft::kernel
