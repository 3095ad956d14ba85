#include "kernel/panic.h"

#include <atomic>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/power.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/pure/unwind.h"
#include "arch/x86_64/segments.h"
#include "arch/x86_64/serial_early.h"
#include "arch/x86_64/sync.h"
#include "arch/x86_64/upcalls.h"
#include "base/assert.h"
#include "kernel/code_map.h"
#include "kernel/log.h"
#include "kernel/power.h"
#include "kernel/processor.h"
#include "kernel/stacks.h"
#include "kernel/task_walk.h"

namespace graft::kernel {

namespace {

constinit std::atomic<PanicAction> action{PanicAction::halt};
constinit std::atomic<PanicHook> hook{nullptr};
constinit std::atomic<u32> panics{0};
constexpr u32 kMaxShownFrames = 64;

using Line = Text<400>;

void print(const Line& line) {
    arch::early_write(line.view());
}

[[noreturn]] void end() {
    switch (action.load(std::memory_order_relaxed)) {
        case PanicAction::exit:
            arch::debug_exit(kExitPanic);
        case PanicAction::reboot:
            arch::reset();
        case PanicAction::halt:
            break;
    }
    arch::halt_for_ever();
}

void print_registers(const arch::InterruptFrame& frame) {
    struct Named {
        const char* name;
        u64 value;
    };
    const Named registers[] = {
        {"rip", frame.rip}, {"rsp", frame.rsp}, {"flags", frame.rflags}, {"error", frame.error_code},
        {"rax", frame.rax}, {"rbx", frame.rbx}, {"rcx", frame.rcx},      {"rdx", frame.rdx},
        {"rsi", frame.rsi}, {"rdi", frame.rdi}, {"rbp", frame.rbp},      {"r8", frame.r8},
        {"r9", frame.r9},   {"r10", frame.r10}, {"r11", frame.r11},      {"r12", frame.r12},
        {"r13", frame.r13}, {"r14", frame.r14}, {"r15", frame.r15},      {"cr2", arch::read_cr2()},
    };
    Line line;
    u32 column = 0;
    for (const Named& named : registers) {
        line.append("  ", named.name, "=", hex(named.value, 16));
        if (++column % 4 != 0) continue;
        line.append("\n");
        print(line);
        line.clear();
    }
}

const Task* running_task() {
    Processor* self = this_processor_or_null();
    return self ? self->current : nullptr;
}

// A fault on the way to a handler has put the frame on a stack of its own; the walk goes from there to the task's.
arch::StackSegments segments_for(const Task& task) {
    auto segments = arch::StackSegments::of_task(task.stack, task.stack.end - arch::kTaskEntryFrameOffset);
    AddressRange here = AddressRange::of(VirtAddr(arch::read_rsp()), 1);
    for (u8 ist = 1; ist <= arch::kIstCount; ++ist) {
        AddressRange stack = arch::ist_stack(arch::this_cpu().index, ist);
        if (stack.contains(here.begin)) return segments.behind(stack);
    }
    return segments;
}

void print_frame(u32 number, VirtAddr pc) {
    Line line;
    line.append("  #", number, " ", hex(pc.value, 16), " ");
    append_code_name(line, pc);
    line.append("\n");
    print(line);
}

void print_repetition(u32 times) {
    Line line;
    line.append("     the same ", times, times == 1 ? " time more\n" : " times more\n");
    print(line);
}

void print_stack(const Task& task, const arch::InterruptFrame& frame) {
    arch::DirectStackReader memory;
    arch::StackSegments segments = segments_for(task);
    arch::HookRecord hooked{VirtAddr(task.context.hook.slot), VirtAddr(task.context.hook.original),
                            task.context.measured.open()};
    arch::Walker walker(code_map(), memory, segments, registers_of(frame), hooked, true);
    arch::Frame found;
    u32 number = 0;
    u32 shown = 0;
    u32 repeated = 0;
    VirtAddr last{};
    for (; walker.next(found); ++number) {
        if (found.lookup_pc == last) {
            ++repeated;
            continue;
        }
        last = found.lookup_pc;
        if (shown++ == kMaxShownFrames) break;
        if (repeated != 0) print_repetition(repeated);
        repeated = 0;
        print_frame(number, last);
    }
    if (walker.complete() || shown > kMaxShownFrames) return;
    Line line;
    line.append("  stack not walked to its end: ", arch::name_of(walker.why()), " at ", hex(walker.pc().value, 16),
                "\n");
    print(line);
}

void print_task(const arch::InterruptFrame& frame) {
    Line line;
    line.append("processor ", arch::this_cpu().index);
    const Task* task = running_task();
    if (!task) {
        line.append(", before the first task, at ");
        append_code_name(line, VirtAddr(frame.rip));
        line.append("\n");
        print(line);
        return;
    }
    line.append(", task ", task->id, " (", task->name_view(), ")\n");
    print(line);
    if (is_stack_guard(VirtAddr(arch::read_cr2()))) arch::early_write("the last page fault hit a stack's guard page\n");
    print_stack(*task, frame);
}

[[noreturn]] void panic_with(const arch::InterruptFrame& frame, std::string_view reason) {
    arch::disable_interrupts();
    u32 before = panics.fetch_add(1, std::memory_order_relaxed);  // counts only
    if (before == 1) arch::early_write("\npanic inside a panic\n");
    if (before != 0) end();
    arch::stop_others_for_ever();
    if (PanicHook expected = hook.load(std::memory_order_relaxed)) expected(reason);
    dump_log_polled();
    Line line;
    line.append("\npanic: ", reason, "\n");
    print(line);
    print_registers(frame);
    print_task(frame);
    end();
}

// What a function that calls this looks like to a walk that starts there.
[[gnu::always_inline]] inline arch::InterruptFrame frame_here() {
    arch::InterruptFrame frame{};
    asm volatile(
        "leaq 1f(%%rip), %0\n\t"
        "movq %%rsp, %1\n\t"
        "movq %%rbp, %2\n\t"
        "movq %%rbx, %3\n\t"
        "1:"
        : "=&r"(frame.rip), "=m"(frame.rsp), "=m"(frame.rbp), "=m"(frame.rbx));
    asm volatile("movq %%r12, %0" : "=m"(frame.r12));
    asm volatile("movq %%r13, %0" : "=m"(frame.r13));
    asm volatile("movq %%r14, %0" : "=m"(frame.r14));
    asm volatile("movq %%r15, %0" : "=m"(frame.r15));
    frame.rflags = arch::read_flags();
    return frame;
}

}  // namespace

void set_panic_action(PanicAction wanted) {
    action.store(wanted, std::memory_order_relaxed);
}
void set_panic_hook(PanicHook wanted) {
    hook.store(wanted, std::memory_order_relaxed);
}

void panic(std::string_view reason) {
    arch::InterruptFrame frame = frame_here();
    panic_with(frame, reason);
}

void panic_at(const arch::InterruptFrame& frame, std::string_view reason) {
    panic_with(frame, reason);
}

}  // namespace graft::kernel

void graft::assertion_failed(const char* condition, const char* file, unsigned line) {
    graft::Text<300> reason;
    reason.append("assertion failed: ", condition, ", ", file, ":", line);
    graft::kernel::panic(reason.view());
}

extern "C" void graft_upcall_fatal(graft::arch::InterruptFrame* frame, const char* reason) {
    graft::VirtAddr fault(graft::arch::read_cr2());
    bool overflow = frame->vector == graft::arch::kVectorDoubleFault && graft::kernel::is_stack_guard(fault);
    graft::kernel::panic_at(*frame, overflow ? "stack overflow" : reason);
}
