// The first C++ of interrupts, hooks and new tasks, and the last: what patchable code has decided about the running
// task is written here, after its last frame has gone.

#include "arch/x86_64/apic.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/upcalls.h"

namespace graft::arch::permanent {

namespace {

void move_running_task(u32 cause) {
    PerCpu& cpu = this_cpu();
    u8 target = graft_target_state;
    cpu.context->patch_state = target;
    cpu.patch_state = target;
    graft_upcall_moved(cause);
}

// What never goes up. True when nothing more is to be done.
bool handled_here(InterruptFrame* frame) {
    u64 vector = frame->vector;
    if (vector == kVectorBreakpoint) {
        if (!redirect_breakpoint(frame)) graft_upcall_fatal(frame, "breakpoint outside the call sites");
        return true;
    }
    if (vector == kVectorSync) {
        answer();
        end_of_interrupt();
        return true;
    }
    if (vector == kVectorStop) {
        end_of_interrupt();
        stand_still(frame);
        return true;
    }
    if (vector == kVectorNmi) {
        handle_nmi(frame);
        return true;
    }
    if (vector == kVectorDoubleFault) graft_upcall_fatal(frame, "double fault");
    if (vector == kVectorMachineCheck) graft_upcall_fatal(frame, "machine check");
    return vector == kVectorSpurious || (vector >= kVectorLegacyBase && vector < kVectorExternalBase);
}

}  // namespace

// Context: interrupts off, on the interrupted stack.
extern "C" void graft_handle_interrupt(InterruptFrame* frame) {
    if (handled_here(frame)) return;
    PerCpu& cpu = this_cpu();
    ++cpu.nesting;
    u32 verdict = graft_upcall_interrupt(frame);
    --cpu.nesting;
    if (verdict & kExitStop) graft_upcall_stop_task(frame);
    if (verdict & kExitMove) move_running_task(kMovedByInterrupt);
    // May return on another processor.
    if (verdict & kExitPreempt) graft_upcall_preempt();
}

// `frame`: the moment after the hooked function returned. Context: interrupts off.
extern "C" void graft_handle_hook(InterruptFrame* frame) {
    PerCpu& cpu = this_cpu();
    cpu.context->hook.slot = 0;
    cpu.context->hook.original = 0;
    cpu.hook_original = 0;
    if (graft_upcall_hook_fired(frame) & kExitMove) move_running_task(kMovedByHook);
}

// A new task's first C++. Context: interrupts off.
extern "C" [[noreturn]] void graft_task_begin(void* argument) {
    if (graft_upcall_birth() & kExitMove) move_running_task(kMovedByBirth);
    graft_upcall_task_start(argument);
}

}  // namespace graft::arch::permanent
