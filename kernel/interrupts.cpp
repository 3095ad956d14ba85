#include "kernel/interrupts.h"

#include <array>
#include <atomic>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/interrupts.h"
#include "base/assert.h"
#include "base/text.h"
#include "kernel/code_map.h"
#include "kernel/fault.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/panic.h"
#include "kernel/patch_moves.h"
#include "kernel/scheduler.h"
#include "kernel/task_visit.h"

namespace graft::kernel {

namespace {

struct Line {
    std::atomic<InterruptHandler> handler{nullptr};  // release in add_line() pairs with acquire in handle_line()
    void* argument = nullptr;
};
constinit std::array<Line, arch::kExternalVectorCount> lines{};
constinit std::atomic<u32> claimed{0};

struct Exception {
    std::atomic<ExceptionHandler> handler{
        nullptr};  // release in set_exception_handler(), acquire in handle_exception()
    void* argument = nullptr;
};
constinit std::array<Exception, arch::kExceptionCount> exceptions{};

// Returns the vector, or 0 when none is left. The handler is in place before the line is routed.
u32 add_line(InterruptHandler handler, void* argument) {
    u32 index = claimed.fetch_add(1, std::memory_order_relaxed);  // only counts
    if (index >= lines.size()) return 0;
    lines[index].argument = argument;
    lines[index].handler.store(handler, std::memory_order_release);
    return arch::kVectorExternalBase + index;
}

void handle_line(u64 vector) {
    Line& line = lines[vector - arch::kVectorExternalBase];
    if (InterruptHandler handler = line.handler.load(std::memory_order_acquire)) handler(line.argument);
    ++this_processor().statistics.device_interrupts;
    arch::end_of_interrupt();
}

u32 handle_exception(arch::InterruptFrame* frame, bool in_handler) {
    Exception& exception = exceptions[frame->vector];
    ExceptionHandler handler = exception.handler.load(std::memory_order_acquire);
    if (handler && handler(frame, exception.argument)) return 0;
    Text<400> reason;
    reason.append(name_of_exception(frame->vector));
    if (contain_fault(*frame, in_handler, reason)) return arch::kExitStop;
    panic_at(*frame, reason.view());
}

// `in_handler`: it hit code that handles another one.
u32 handle(arch::InterruptFrame* frame, bool in_handler) {
    u64 vector = frame->vector;
    if (vector < arch::kExceptionCount) return handle_exception(frame, in_handler);
    Processor& self = this_processor();
    if (vector == arch::kVectorTimer) {
        ++self.statistics.timer_interrupts;
        arch::end_of_interrupt();
        scheduler_tick();
        return visit_interrupted_task(frame);
    }
    if (vector == arch::kVectorReschedule) {
        ++self.statistics.reschedule_interrupts;
        arch::end_of_interrupt();
        return 0;
    }
    if (vector == arch::kVectorCheck) {
        ++self.statistics.check_interrupts;
        arch::end_of_interrupt();
        return visit_interrupted_task(frame);
    }
    if (vector >= arch::kVectorExternalBase && vector < arch::kVectorExternalBase + arch::kExternalVectorCount) {
        handle_line(vector);
        return 0;
    }
    panic_at(*frame, "interrupt with a vector that nobody uses");
}

}  // namespace

bool claim_legacy_interrupt(u8 irq, InterruptHandler handler, void* argument, u32 processor_index) {
    u32 vector = add_line(handler, argument);
    return vector != 0 && arch::route_legacy_interrupt(irq, vector, processor_index);
}

bool claim_interrupt(u32 gsi, bool level_triggered, bool active_low, InterruptHandler handler, void* argument,
                     u32 processor_index) {
    u32 vector = add_line(handler, argument);
    return vector != 0 && arch::route_interrupt(gsi, vector, processor_index, level_triggered, active_low);
}

void set_exception_handler(u32 vector, ExceptionHandler handler, void* argument) {
    GRAFT_ASSERT(vector < arch::kExceptionCount);
    exceptions[vector].argument = argument;
    exceptions[vector].handler.store(handler, std::memory_order_release);
}

bool is_interrupt_handler(VirtAddr place) {
    return AddressRange::of(VirtAddr(&lines), sizeof(lines)).contains(place) ||
           AddressRange::of(VirtAddr(&exceptions), sizeof(exceptions)).contains(place);
}

}  // namespace graft::kernel

extern "C" graft::u32 graft_upcall_interrupt(graft::arch::InterruptFrame* frame) {
    using namespace graft::kernel;
    // An exception may come inside a handler; then the outer one still has its end before it.
    bool& in_handler = this_processor().in_handler;
    bool outer = in_handler;
    in_handler = true;
    graft::u32 verdict = handle(frame, outer);
    // Exceptions hit code with interrupts off, too, where locks may be held and nothing may be woken or switched.
    bool may_switch = !outer && (frame->rflags & graft::arch::kFlagInterrupt) != 0;
    if (may_switch) report_moves();
    this_processor().in_handler = outer;
    if (may_switch && should_preempt()) verdict |= graft::arch::kExitPreempt;
    return verdict;
}

extern "C" void graft_upcall_processor_silent(graft::u32 index, graft::u64 waited_ns,
                                              const graft::arch::InterruptFrame* frame) {
    using namespace graft;
    Text<200> text;
    text.append("processor ", index, " hasn't answered for ", waited_ns / 1'000'000, " ms");
    if (frame) {
        text.append(", it is at ");
        kernel::append_code_name(text, VirtAddr(frame->rip));
    }
    kernel::log_quietly(kernel::LogLevel::error, text.view());
}
