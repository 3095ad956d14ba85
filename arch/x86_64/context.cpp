#include "arch/x86_64/context.h"

#include "base/assert.h"

extern "C" const char graft_task_first[];

namespace graft::arch {

namespace {

// What graft_switch_context() pops, lowest address first, and what it returns to.
struct SwitchFrame {
    u64 r15, r14, r13, r12, rbx, rbp;
    u64 return_address;
};

constexpr u16 kFpuControl = 0x037f;  // all exceptions masked, 64-bit precision [intel/vol1 §8.1.5]
constexpr u32 kMxcsr = 0x1f80;       // all exceptions masked, round to nearest [intel/vol1 §10.2.3]

}  // namespace

void prepare_context(Context& context, VirtAddr stack_top, void* argument) {
    GRAFT_ASSERT(stack_top.is_aligned(16));
    VirtAddr entry_stack = stack_top - kTaskEntryFrameOffset;
    for (VirtAddr word = entry_stack; word < stack_top; word += sizeof(u64)) *word.as<u64>() = 0;
    auto* frame = VirtAddr(entry_stack - sizeof(SwitchFrame)).as<SwitchFrame>();
    *frame = {};
    frame->r12 = reinterpret_cast<u64>(argument);
    frame->return_address = reinterpret_cast<u64>(graft_task_first);
    context.rsp = reinterpret_cast<u64>(frame);
    context.hook = {};
}

void init_fpu_state(u8* area) {
    for (usize index = 0; index < kFpuStateSize; ++index) area[index] = 0;
    // FCW at 0, MXCSR at 24 [intel/vol1 table 10-2]
    *reinterpret_cast<u16*>(area) = kFpuControl;
    *reinterpret_cast<u32*>(area + 24) = kMxcsr;
}

}  // namespace graft::arch
