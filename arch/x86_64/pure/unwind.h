// Walker: goes up a stack frame by frame, by call-frame information alone, and says whether what it saw can be
// believed.
//
// A walk is reliable when, and only when, it ended at the task's entry frame at the known top of the task's stack
// (complete()). Everything else has a reason (why()) and counts as "not known"; frames that next() produced before it
// stopped are good for showing, not for deciding.
//
// What each step demands:
//   W1  the pc lies in known text and is covered by call-frame information, or is a known frame (KnownFrame);
//   W2  every rule that is used is known, and so is each register that it needs;
//   W3  what is read lies in the current stack, at or above the stack pointer, 8-aligned;
//   W4  the frame address lies strictly above the stack pointer, and the next stack pointer is not below it; the stack
//       is changed only by an interrupt entry's frame and only forward in StackSegments' order;
//   W5  a return address follows a call instruction; callers are looked up one byte before their return address, since
//   a
//       call that never returns may be the last instruction of its function;
//   W6  a hooked return address is translated exactly when slot and value both agree with the task's record;
//   W7  at most kMaxFrames frames;
//   W8  a return address that measuring has taken is translated by the record of its slot.
//
// Known frames, which have no (or no complete) call-frame information:
//   trampoline   reached by a jump: the return address is at the stack pointer, no register has changed. Exact pc only.
//   return_hook  the routine that hooked functions return to. At its first instruction the return address is in no
//                memory but in the hook record. Further on it has ordinary call-frame information.
//   measured_return  the routine that measured functions return to. As long as the slot's record is open, that is the
//                return address, whatever the slot holds; afterwards the slot holds it.
//   task_entry   the first frame of every task: the walk's end. Its code keeps the stack pointer at `top`, and its call
//                is not its last instruction.
//
// Interrupt entries are described by frames with augmentation S: rules for rip and rsp (offsets from the frame address)
// and for every register pushed so far. With frame address = end of the five words that the processor pushed: rip at
// -40 and rsp at -16. Callers of such frames have an exact pc.
//
// Pure: no state outside the object, no locks, no allocation; usable in any context, with interrupts off, on any
// processor, in the middle of an interrupt. The caller sees to it that the stack doesn't change meanwhile: the task
// can't be switched in, or it is the caller's own. The address of a word is read once.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "arch/x86_64/pure/cfi.h"
#include "arch/x86_64/pure/eh_frame.h"
#include "arch/x86_64/pure/measured_return.h"
#include "arch/x86_64/pure/row_cache.h"
#include "base/types.h"

namespace graft::arch {

enum class Unreliable : u8 {
    none,
    stack_pointer_outside,    // the walk begins at a stack pointer in none of the stacks
    pc_outside_text,          // the pc is in no known text
    no_frame_information,     // no call-frame information covers the pc
    bad_frame_information,    // the call-frame program isn't well formed or does what isn't known here
    register_unknown,         // a rule needs a register whose value is lost
    return_address_unknown,   // no rule says where the return address is: not an entry frame, yet no caller
    frame_not_growing,        // the frame address isn't above the stack pointer
    outside_stack,            // a saved word or the frame address lies outside the current stack
    below_stack_pointer,      // a saved word lies below the stack pointer, where interrupts write
    unaligned,                // a frame address or a saved word that isn't 8-aligned
    wrong_stack_order,        // a change of stack that isn't an interrupt entry's, or not forward in the order
    not_after_call,           // a return address that doesn't follow a call instruction
    trampoline_called,        // a return address inside generated code, which calls nothing
    hook_without_record,      // a return address is the hook routine, and the task's record names another slot or none
    measured_without_record,  // a return address is the routine of measured functions, and no record names the slot
    hook_overwritten,         // the task's record names this slot, and the hook routine isn't in it
    entry_frame_misplaced,    // an entry frame that isn't at the top of the task's stack
    too_many_frames,
};

std::string_view name_of(Unreliable reason);

// Values and, for each, whether it is known.
class Registers {
public:
    // What is known of a task that was switched out: its stack pointer, and the address at which it goes on.
    static Registers switched_out(VirtAddr rip, VirtAddr rsp) {
        Registers registers;
        registers.set(Register::rip, rip.value);
        registers.set(Register::rsp, rsp.value);
        return registers;
    }

    void set(Register which, u64 value) {
        values_[index(which)] = value;
        known_ |= bit(which);
    }
    void forget(Register which) { known_ &= ~bit(which); }
    bool is_known(Register which) const { return (known_ & bit(which)) != 0; }
    u64 get(Register which) const { return values_[index(which)]; }

private:
    static constexpr usize index(Register which) { return static_cast<usize>(which); }
    static constexpr u32 bit(Register which) { return 1u << index(which); }

    std::array<u64, kRegisterCount> values_{};
    u32 known_ = 0;
};

enum class KnownFrame : u8 { none, trampoline, return_hook, measured_return, task_entry };

// What is known of code: the image's, the patches' and the generated one.
class CodeMap {
public:
    virtual std::optional<FdeView> find(VirtAddr pc) const = 0;
    virtual bool is_text(VirtAddr pc) const = 0;
    virtual KnownFrame known_frame(VirtAddr pc) const = 0;
    // The address of the hook routine's first instruction.
    virtual VirtAddr return_hook() const = 0;
    // The address of the routine that measured functions return to; zero where nothing is measured.
    virtual VirtAddr measured_return() const { return {}; }
    // Up to `count` bytes of one text range that end right before `pc`; empty when pc - 1 is in no text.
    virtual std::span<const std::byte> text_before(VirtAddr pc, usize count) const = 0;

protected:
    ~CodeMap() = default;
};

// The stacks that a walk may touch, in the order in which it may go through them: exception, interrupt, task.
struct StackSegments {
    static constexpr usize kMax = 4;

    std::array<AddressRange, kMax> ranges{};
    usize count = 0;
    VirtAddr top;  // the stack pointer while the task's entry frame is the innermost

    static StackSegments of_task(AddressRange stack, VirtAddr top) {
        StackSegments segments;
        segments.ranges[0] = stack;
        segments.count = 1;
        segments.top = top;
        return segments;
    }
    // The same stacks with one before them. At most kMax in all.
    StackSegments behind(AddressRange stack) const;
};

// The one return address of a task that is hooked, and those that are measured. `slot` is zero when none is.
struct HookRecord {
    VirtAddr slot;
    VirtAddr original;
    std::span<const MeasuredReturn> measured{};  // must outlive the walk
};

// Reads a word of a stack. The walker asks only for 8-aligned words inside the current segment.
class StackReader {
public:
    virtual u64 read(VirtAddr slot) const = 0;

protected:
    ~StackReader() = default;
};

// Memory as it is.
class DirectStackReader final : public StackReader {
public:
    u64 read(VirtAddr slot) const override { return *slot.as<const volatile u64>(); }
};

struct Frame {
    VirtAddr pc;
    VirtAddr lookup_pc;        // what the frame's function is found by: pc when exact, else pc - 1
    VirtAddr cfa;              // canonical frame address
    VirtAddr return_slot;      // the word with the return address, cfa - 8; zero when there is none in memory
    VirtAddr saved_rip_slot;   // the word with this frame's pc, when an interrupt entry saved it; else zero
    bool interrupted = false;  // the pc is exact: the instruction that comes next
    KnownFrame known = KnownFrame::none;
};

class Walker {
public:
    // No real stack is that deep: a frame has at least 16 bytes, a task's stack 64 KiB.
    static constexpr u32 kMaxFrames = 8192;

    // `interrupted`: rip is the next instruction (interrupted or switched out), not a return address. `cache` may be
    // null; see RowCache for who may share one. All references must outlive the walker.
    Walker(const CodeMap& code, const StackReader& memory, const StackSegments& segments, const Registers& registers,
           HookRecord hook, bool interrupted, RowCache* cache = nullptr);

    // The next frame, innermost first. False at the end, good or bad.
    bool next(Frame& frame);

    bool complete() const { return state_ == State::complete; }
    Unreliable why() const { return why_; }
    // The pc at which the walk stands, for showing where it stopped.
    VirtAddr pc() const { return VirtAddr(registers_.get(Register::rip)); }

private:
    enum class State : u8 { walking, complete, unreliable };

    bool refuse(Unreliable why);
    bool end_at_entry(Frame& frame);
    bool leave_trampoline(Frame& frame);
    bool leave_hook_entry(Frame& frame);
    bool leave_by_rules(Frame& frame);
    bool find_frame_row(VirtAddr lookup_pc, FoundRow& found);
    bool leave_called(Frame& frame, const Registers& caller);
    bool leave_interrupt_entry(Frame& frame, const Row& row, Registers caller);
    bool continue_at_return_address(VirtAddr address, Registers caller);
    bool compute_cfa(const CfaRule& rule, VirtAddr& cfa);
    bool restore_register(const Row& row, Register which, VirtAddr cfa, Registers& caller);
    bool read_slot(VirtAddr slot, u64& value);
    bool leave_measured_entry(Frame& frame);
    bool translate(VirtAddr slot, KnownFrame at, u64& value);
    bool translate_hook(VirtAddr slot, bool in_hook_routine, u64& value);
    bool translate_measured(VirtAddr slot, bool in_routine, u64& value);
    VirtAddr stack_pointer() const { return VirtAddr(registers_.get(Register::rsp)); }
    const AddressRange& stack() const { return segments_.ranges[segment_]; }

    const CodeMap& code_;
    const StackReader& memory_;
    const StackSegments& segments_;
    Registers registers_;
    HookRecord hook_;
    RowCache* cache_;
    usize segment_ = 0;
    u32 frames_ = 0;
    VirtAddr saved_rip_slot_;
    KnownFrame known_;  // at the pc
    bool exact_;
    State state_ = State::walking;
    Unreliable why_ = Unreliable::none;
};

// Whether the bytes that end at a return address end with a call: e8 rel32, or ff /2 in any of its lengths. [intel/vol2
// CALL]
bool ends_with_call(std::span<const std::byte> bytes);

}  // namespace graft::arch
