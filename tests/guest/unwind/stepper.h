// Stepper: runs two tasks with the trap flag and compares, before every instruction, the walk of their stacks with a
// shadow call stack that is kept from the calls and returns seen so far. Everything is real but the moment of
// interrupts: they are made by entering the vector's stub with a frame as the processor pushes it, so that their
// handlers are stepped as well.
//
// One processor, whose maskable interrupts are held off by its task priority; the debug exception's handler does the
// work. No lock: there is nobody else.
#pragma once

#include <array>

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/pure/unwind.h"
#include "base/text.h"
#include "base/types.h"
#include "kernel/task.h"

namespace graft::unwind_test {

struct ShadowFrame {
    u64 slot;  // of the return address or of the saved rip
    u64 pc;    // what it returns to
    bool interrupt;
};

inline constexpr usize kMaxDepth = 256;

struct SteppedTask {
    kernel::Task* task = nullptr;
    std::array<ShadowFrame, kMaxDepth> shadow;  // outermost first
    usize depth = 0;
    bool begins_here = false;        // the shadow is to be made anew from the frame pointers
    bool switched_out_here = false;  // its last instruction was stepped: the shadow is that of its stack
    bool hook_fired = false;

    void push(ShadowFrame frame) {
        if (depth < kMaxDepth) shadow[depth++] = frame;
    }
    ShadowFrame top() const { return shadow[depth - 1]; }
};

struct Counters {
    u64 steps = 0;
    u64 frames = 0;
    u64 differences = 0;
    u64 others = 0;         // walks of the task that isn't running
    u64 interruptible = 0;  // steps with interrupts on
    u64 interrupts = 0;
    u64 switches = 0;
    u64 in_trampoline = 0;
    u64 in_measuring = 0;         // steps in the routines of measured calls
    u64 measured_returns = 0;     // of the stepped tasks' measured functions
    u64 measured_and_hooked = 0;  // of these, right after the same frame's hook
    u64 hooks = 0;
    u64 hooks_fired = 0;
    u64 corrupted = 0;
    u64 refused = 0;
    u64 flips = 0;
    u64 flips_refused = 0;
    u64 flips_unnoticed = 0;
};

class Stepper {
public:
    // Ends the stepping after `steps` instructions. `trampoline`: a range whose visits are counted.
    Stepper(u64 steps, u64 seed, AddressRange trampoline);
    Stepper(const Stepper&) = delete;
    Stepper& operator=(const Stepper&) = delete;

    // The two tasks; before either begins.
    void add(kernel::Task& task);
    // The shadow of the running task begins anew: its caller's frame is the innermost. Context: the task, in the
    // function that the whole of its stepped life happens in, with a frame pointer.
    void begin_here();

    bool is_over() const { return over_; }
    const Counters& counters() const { return counters_; }
    // What the first difference was; empty when there was none.
    std::string_view first_difference() const { return first_difference_.view(); }
    // The first corruption that a walk didn't notice.
    std::string_view first_unnoticed() const { return first_unnoticed_.view(); }

    // The debug exception. Interrupts off.
    void step(arch::InterruptFrame& frame);

private:
    enum class Pending : u8 { none, call, ret, interrupt_return };

    SteppedTask* task_at(u64 rsp);
    void leave_alone(arch::InterruptFrame& frame);
    void arrive(SteppedTask& task, const arch::InterruptFrame& frame);
    void finish_previous(SteppedTask& task, const arch::InterruptFrame& frame);
    void remember(const arch::InterruptFrame& frame);
    void interrupt(SteppedTask& task, arch::InterruptFrame& frame);
    void hook(SteppedTask& task, const arch::InterruptFrame& frame);
    void compare(SteppedTask& task, const arch::InterruptFrame* frame);
    void compare_other(const SteppedTask& running);
    void corrupt(SteppedTask& task, const arch::InterruptFrame& frame);
    void differ(const char* what, const SteppedTask& task, u64 found, u64 expected);
    u64 random(u64 bound);

    std::array<SteppedTask, 2> tasks_;
    usize task_count_ = 0;
    u64 limit_;
    u64 random_;
    AddressRange trampoline_;
    bool over_ = false;
    Counters counters_;
    Pending pending_ = Pending::none;
    SteppedTask* last_task_ = nullptr;
    u64 last_rsp_ = 0;
    u64 held_off_return_ = 0;  // the address of the `ret` behind the `sti` that comes next; else 0
    Text<400> first_difference_;
    Text<200> first_unnoticed_;
};

}  // namespace graft::unwind_test
