#include "arch/x86_64/return_hook.h"

#include "arch/x86_64/percpu.h"

namespace graft::arch {

namespace {

constexpr u64 kSlotAlignment = 16;
constexpr u64 kSlotRemainder = 8;

u64 hook_address() {
    return reinterpret_cast<u64>(graft_return_hook);
}

}  // namespace

bool install_return_hook(Context& context, VirtAddr slot, bool running_here) {
    if (context.hook.slot != 0 || slot.value % kSlotAlignment != kSlotRemainder) return false;
    auto* word = slot.as<volatile u64>();
    // The record first: from the moment the slot is written, the frame may return.
    context.hook.original = *word;
    context.hook.slot = slot.value;
    if (running_here) this_cpu().hook_original = context.hook.original;
    *word = hook_address();
    return true;
}

bool take_off_return_hook(Context& context, bool running_here) {
    if (context.hook.slot == 0) return true;
    auto* word = reinterpret_cast<volatile u64*>(context.hook.slot);
    if (*word != hook_address()) return false;
    *word = context.hook.original;
    context.hook = {};
    if (running_here) this_cpu().hook_original = 0;
    return true;
}

}  // namespace graft::arch
