#include "tests/guest/unwind/stepper.h"

#include <utility>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/measuring.h"
#include "arch/x86_64/return_hook.h"
#include "kernel/code_map.h"
#include "kernel/task_walk.h"
#include "tests/guest/unwind/corruption.h"

extern "C" const char graft_vector_stubs[];
extern "C" const char graft_task_first[];

namespace graft::unwind_test {

namespace {

constexpr u64 kStubSize = 16;  // of arch/x86_64/permanent/entry.S
// Room between an interrupted stack pointer and the frame made for it: the debug exception that makes it runs there.
constexpr u64 kHandlerRoom = 8192;
constexpr u64 kStepsPerInterrupt = 199;
constexpr u64 kStepsPerHook = 61;
constexpr u64 kHooksPerTakenOff = 8;
constexpr u64 kStepsPerOther = 16;
constexpr u64 kStepsPerCorruption = 24;
// Frames that every task has and never leaves, and how many of the others may be hooked.
constexpr usize kOutermostFrames = 3;
constexpr usize kHookDepth = 6;

u64 word_at(u64 address) {
    return *reinterpret_cast<const volatile u64*>(address);
}

bool is_return_hook(u64 pc) {
    return VirtAddr(pc) == VirtAddr(graft_return_hook);
}

bool is_measured_return(u64 pc) {
    return VirtAddr(pc) == VirtAddr(graft_measure_return);
}
bool is_in_measuring(u64 pc) {
    return VirtAddr(pc) >= VirtAddr(graft_measure_entry) && VirtAddr(pc) < VirtAddr(graft_measure_return_end);
}

}  // namespace

Stepper::Stepper(u64 steps, u64 seed, AddressRange trampoline)
    : limit_(steps), random_(seed * 2 + 1), trampoline_(trampoline) {}

void Stepper::add(kernel::Task& task) {
    SteppedTask& added = tasks_[task_count_++];
    added.task = &task;
    // Its first switch returns to the entry frame.
    u64 slot = task.stack.end.value - arch::kTaskEntryFrameOffset - sizeof(u64);
    added.push({slot, reinterpret_cast<u64>(graft_task_first), false});
}

u64 Stepper::random(u64 bound) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % bound;
}

SteppedTask* Stepper::task_at(u64 rsp) {
    for (SteppedTask& task : tasks_)
        if (task.task && VirtAddr(rsp) > task.task->stack.begin && VirtAddr(rsp) <= task.task->stack.end) return &task;
    return nullptr;
}

[[gnu::noinline]] void Stepper::begin_here() {
    if ((arch::read_flags() & arch::kFlagTrap) != 0) return;  // its shadow has been kept
    if (SteppedTask* task = task_at(arch::read_rsp())) task->begins_here = true;
    // The first trap comes after the instruction that follows: the frame must still stand then.
    asm volatile("pushfq\n\torq %0, (%%rsp)\n\tpopfq\n\tnop" ::"i"(static_cast<i32>(arch::kFlagTrap)) : "memory", "cc");
}

// Some other task's instruction, or the end: what happens until the next step isn't seen.
void Stepper::leave_alone(arch::InterruptFrame& frame) {
    frame.rflags &= ~arch::kFlagTrap;
    pending_ = Pending::none;
    last_task_ = nullptr;
    for (SteppedTask& task : tasks_) task.switched_out_here = false;
}

void Stepper::step(arch::InterruptFrame& frame) {
    SteppedTask* task = task_at(frame.rsp);
    if (!task || over_) return leave_alone(frame);
    if (task != last_task_) arrive(*task, frame);
    finish_previous(*task, frame);
    last_task_ = task;
    task->switched_out_here = false;

    bool interruptible = (frame.rflags & arch::kFlagInterrupt) != 0;
    if (interruptible) ++counters_.interruptible;
    if (interruptible && random(kStepsPerHook) == 0) hook(*task, frame);
    if (interruptible && random(kStepsPerInterrupt) == 0) interrupt(*task, frame);
    if (++counters_.steps >= limit_) over_ = true;
    if (trampoline_.contains(VirtAddr(frame.rip))) ++counters_.in_trampoline;
    if (is_in_measuring(frame.rip)) ++counters_.in_measuring;

    compare(*task, &frame);
    if (counters_.steps % kStepsPerOther == 0) compare_other(*task);
    if (counters_.steps % kStepsPerCorruption == 0) corrupt(*task, frame);
    remember(frame);
}

// The instruction before this one was another task's, or wasn't seen.
void Stepper::arrive(SteppedTask& task, const arch::InterruptFrame& frame) {
    if (last_task_) {
        ++counters_.switches;
        last_task_->switched_out_here = true;
    }
    if (task.begins_here) {
        task.begins_here = false;
        task.depth = 0;
        for (u64 rbp = frame.rbp; rbp != 0 && task.task->stack.contains(VirtAddr(rbp)); rbp = word_at(rbp))
            task.push({rbp + 8, word_at(rbp + 8), false});
        for (usize i = 0; i < task.depth / 2; ++i) std::swap(task.shadow[i], task.shadow[task.depth - 1 - i]);
    }
    // Returns that weren't seen.
    while (task.depth > 0 && task.top().slot < frame.rsp) --task.depth;
}

void Stepper::remember(const arch::InterruptFrame& frame) {
    const auto* bytes = VirtAddr(frame.rip).as<const u8>();
    last_rsp_ = frame.rsp;
    pending_ = Pending::none;
    held_off_return_ = 0;
    if (bytes[0] == 0x48 && bytes[1] == 0xcf) pending_ = Pending::interrupt_return;
    if ((bytes[0] & 0xf0) == 0x40) ++bytes;  // REX
    if (bytes[0] == 0xe8 || (bytes[0] == 0xff && ((bytes[1] >> 3) & 7) == 2)) pending_ = Pending::call;
    if (bytes[0] == 0xc3) pending_ = Pending::ret;
    // Traps are held off for one instruction behind `sti`, too: the return isn't seen, or is seen next.
    if (bytes[0] == 0xfb && bytes[1] == 0xc3) {
        pending_ = Pending::ret;
        held_off_return_ = frame.rip + 1;
    }
}

// What the instruction before this one has done to the shadow stack.
void Stepper::finish_previous(SteppedTask& task, const arch::InterruptFrame& frame) {
    Pending pending = pending_;
    pending_ = Pending::none;
    if (pending == Pending::none || frame.rip == held_off_return_) return;
    if (pending == Pending::call) return task.push({frame.rsp, word_at(frame.rsp), false});
    SteppedTask* before = task_at(last_rsp_);
    if (!before || before->depth == 0) return differ("return without a call", task, last_rsp_, 0);
    if (before->top().slot != last_rsp_) differ("return from another slot", *before, last_rsp_, before->top().slot);
    if (pending == Pending::ret && is_return_hook(frame.rip) && before->task->context.hook.slot == last_rsp_) {
        // The hook will push the original where it was.
        before->hook_fired = true;
        ++counters_.hooks_fired;
        return;
    }
    if (pending == Pending::ret && is_measured_return(frame.rip)) {
        // The routine will put the original where it was.
        ++counters_.measured_returns;
        if (before->hook_fired) ++counters_.measured_and_hooked;
        before->hook_fired = false;
        return;
    }
    --before->depth;
}

void Stepper::interrupt(SteppedTask& task, arch::InterruptFrame& frame) {
    u64 top = ((frame.rsp - kHandlerRoom) & ~u64{15});
    if (VirtAddr(top) < task.task->stack.begin + 2 * kHandlerRoom) return;
    auto* words = VirtAddr(top).as<u64>();
    *--words = frame.ss;
    *--words = frame.rsp;
    *--words = frame.rflags;
    *--words = frame.cs;
    *--words = frame.rip;
    task.push({reinterpret_cast<u64>(words), frame.rip, true});
    u32 vector = random(3) == 0 ? arch::kVectorTimer : arch::kVectorReschedule;
    frame.rip = reinterpret_cast<u64>(graft_vector_stubs) + kStubSize * vector;
    frame.rsp = reinterpret_cast<u64>(words);
    frame.rflags &= ~arch::kFlagInterrupt;
    ++counters_.interrupts;
}

void Stepper::hook(SteppedTask& task, const arch::InterruptFrame& frame) {
    auto& context = task.task->context;
    if (context.hook.slot != 0) {
        if (random(kHooksPerTakenOff) == 0) (void)arch::take_off_return_hook(context, true);
        return;
    }
    if (task.depth <= kOutermostFrames || kernel::code_map().known_frame(VirtAddr(frame.rip)) != arch::KnownFrame::none)
        return;
    usize inner = task.depth - kOutermostFrames;
    const ShadowFrame& chosen = task.shadow[task.depth - 1 - random(inner < kHookDepth ? inner : kHookDepth)];
    if (chosen.interrupt) return;
    if (!arch::install_return_hook(context, VirtAddr(chosen.slot), true)) return;
    task.hook_fired = false;
    ++counters_.hooks;
}

void Stepper::compare(SteppedTask& task, const arch::InterruptFrame* frame) {
    kernel::TaskWalk walk(*task.task, frame);
    u64 pc = frame ? frame->rip : reinterpret_cast<u64>(arch::graft_switch_resume);
    u64 saved_slot = 0;
    bool interrupted = true;
    usize left = task.depth;
    arch::Frame found;
    while (walk.next(found)) {
        ++counters_.frames;
        if (found.pc.value != pc) return differ("another pc", task, found.pc.value, pc);
        if (found.interrupted != interrupted) return differ("interrupted or not", task, found.pc.value, interrupted);
        if (found.saved_rip_slot.value != saved_slot)
            return differ("another saved rip", task, found.saved_rip_slot.value, saved_slot);
        if (left == 0) break;
        const ShadowFrame& expected = task.shadow[--left];
        bool slot_is_gone = interrupted && ((task.hook_fired && is_return_hook(pc)) || is_measured_return(pc));
        u64 slot = expected.interrupt || slot_is_gone ? 0 : expected.slot;
        if (found.return_slot.value != slot) return differ("another slot", task, found.return_slot.value, slot);
        saved_slot = expected.interrupt ? expected.slot : 0;
        interrupted = expected.interrupt;
        pc = expected.pc;
    }
    if (!walk.complete()) return differ(arch::name_of(walk.why()).data(), task, walk.pc().value, pc);
    if (left != 0) differ("walk too short", task, left, 0);
}

void Stepper::compare_other(const SteppedTask& running) {
    SteppedTask& other = &running == &tasks_[0] ? tasks_[1] : tasks_[0];
    if (!other.switched_out_here) return;
    ++counters_.others;
    compare(other, nullptr);
}

void Stepper::corrupt(SteppedTask& task, const arch::InterruptFrame& frame) {
    Corruptor corruptor(*task.task, frame, {task.shadow.data(), task.depth});
    u64 kind = random(static_cast<u64>(Corruption::count));
    u64 where = random(~u64{0});
    if (corruptor.apply(static_cast<Corruption>(kind), where)) {
        ++counters_.corrupted;
        if (corruptor.walk() == Corruptor::Outcome::refused)
            ++counters_.refused;
        else if (first_unnoticed_.size() == 0)
            first_unnoticed_.append(name_of(static_cast<Corruption>(kind)), " at ", hex(frame.rip));
    }
    corruptor.flip_bit(random(~u64{0}));
    Corruptor::Outcome outcome = corruptor.walk();
    ++counters_.flips;
    if (outcome == Corruptor::Outcome::refused) ++counters_.flips_refused;
    if (outcome == Corruptor::Outcome::changed) ++counters_.flips_unnoticed;
}

void Stepper::differ(const char* what, const SteppedTask& task, u64 found, u64 expected) {
    if (counters_.differences++ != 0) return;
    first_difference_.append("step ", counters_.steps, ", task ", task.task->name_view(), ", depth ", task.depth, ": ",
                             what);
    first_difference_.append(", found ", hex(found), " (");
    kernel::append_code_name(first_difference_, VirtAddr(found));
    first_difference_.append("), expected ", hex(expected), " (");
    kernel::append_code_name(first_difference_, VirtAddr(expected));
    first_difference_.append("), last rsp ", hex(last_rsp_));
}

}  // namespace graft::unwind_test
