#include "arch/x86_64/pure/unwind.h"

#include <bit>

#include "base/assert.h"

namespace graft::arch {

namespace {

constexpr u64 kWord = 8;
constexpr usize kLongestCall = 7;  // ff /2 with SIB and a 32-bit displacement
constexpr usize kNearCall = 5;     // e8 rel32

// What a frame may restore for its caller; rsp and rip are treated apart.
constexpr u32 kRestored =
    (1u << kRegisterCount) - 1 - (1u << static_cast<u32>(Register::rsp)) - (1u << static_cast<u32>(Register::rip));

// The length of an instruction `ff /2` that begins with these bytes; 0 when it isn't one. [intel/vol2 §2.1.5]
usize indirect_call_length(std::span<const std::byte> bytes) {
    auto byte = [bytes](usize i) { return static_cast<u8>(bytes[i]); };
    if (bytes.size() < 2 || byte(0) != 0xff) return 0;
    u8 mode = byte(1) >> 6;
    u8 operation = (byte(1) >> 3) & 7;
    u8 base = byte(1) & 7;
    if (operation != 2) return 0;
    if (mode == 3) return 2;
    usize length = 2;
    bool has_sib = base == 4;
    if (has_sib) {
        if (bytes.size() < 3) return 0;
        base = byte(2) & 7;
        ++length;
    }
    if (mode == 1) return length + 1;
    if (mode == 2 || base == 5) return length + 4;
    return length;
}

// Context::stack and the like may touch the end of their range: an empty stack's pointer is its end.
bool holds_pointer(const AddressRange& stack, VirtAddr pointer) {
    return pointer >= stack.begin && pointer <= stack.end;
}

}  // namespace

bool ends_with_call(std::span<const std::byte> bytes) {
    if (bytes.size() >= kNearCall && bytes[bytes.size() - kNearCall] == std::byte{0xe8}) return true;
    for (usize length = 2; length <= kLongestCall && length <= bytes.size(); ++length)
        if (indirect_call_length(bytes.last(length)) == length) return true;
    return false;
}

StackSegments StackSegments::behind(AddressRange stack) const {
    GRAFT_ASSERT(count < kMax);
    StackSegments result = *this;
    for (usize i = result.count; i > 0; --i) result.ranges[i] = result.ranges[i - 1];
    result.ranges[0] = stack;
    ++result.count;
    return result;
}

Walker::Walker(const CodeMap& code, const StackReader& memory, const StackSegments& segments,
               const Registers& registers, HookRecord hook, bool interrupted, RowCache* cache)
    : code_(code),
      memory_(memory),
      segments_(segments),
      registers_(registers),
      hook_(hook),
      cache_(cache),
      known_(code.known_frame(VirtAddr(registers.get(Register::rip)))),
      exact_(interrupted) {
    GRAFT_ASSERT(registers.is_known(Register::rip) && registers.is_known(Register::rsp));
    while (segment_ < segments_.count && !holds_pointer(stack(), stack_pointer())) ++segment_;
    if (segment_ == segments_.count) refuse(Unreliable::stack_pointer_outside);
}

bool Walker::refuse(Unreliable why) {
    state_ = State::unreliable;
    why_ = why;
    return false;
}

bool Walker::next(Frame& frame) {
    if (state_ != State::walking) return false;
    if (frames_++ == kMaxFrames) return refuse(Unreliable::too_many_frames);
    frame = {};
    frame.pc = pc();
    frame.lookup_pc = exact_ ? pc() : VirtAddr(pc() - 1);
    frame.saved_rip_slot = saved_rip_slot_;
    frame.interrupted = exact_;
    frame.known = known_;
    saved_rip_slot_ = {};
    switch (frame.known) {
        case KnownFrame::task_entry:
            return end_at_entry(frame);
        case KnownFrame::trampoline:
            return leave_trampoline(frame);
        case KnownFrame::return_hook:
            if (exact_ && pc() == code_.return_hook()) return leave_hook_entry(frame);
            return leave_by_rules(frame);
        case KnownFrame::measured_return:
            if (exact_ && pc() == code_.measured_return()) return leave_measured_entry(frame);
            return leave_by_rules(frame);
        case KnownFrame::none:
            return leave_by_rules(frame);
    }
    return refuse(Unreliable::no_frame_information);
}

bool Walker::end_at_entry(Frame& frame) {
    bool in_task_stack = segment_ + 1 == segments_.count;
    if (!in_task_stack || stack_pointer() != segments_.top) return refuse(Unreliable::entry_frame_misplaced);
    frame.cfa = stack_pointer();
    state_ = State::complete;
    return true;
}

// A trampoline was jumped to: the stack is as the caller of the function left it.
bool Walker::leave_trampoline(Frame& frame) {
    if (!exact_) return refuse(Unreliable::trampoline_called);
    frame.cfa = stack_pointer() + kWord;
    return leave_called(frame, registers_);
}

// The hooked function has returned here, and the original return address hasn't been pushed yet.
bool Walker::leave_hook_entry(Frame& frame) {
    if (!hook_.slot || hook_.slot + kWord != stack_pointer()) return refuse(Unreliable::hook_without_record);
    frame.cfa = stack_pointer();
    u64 address = hook_.original.value;
    if (!translate_measured(hook_.slot, false, address)) return false;
    return continue_at_return_address(VirtAddr(address), registers_);
}

// The measured function has returned here, and the return address has no place on the stack.
bool Walker::leave_measured_entry(Frame& frame) {
    frame.cfa = stack_pointer();
    u64 address = code_.measured_return().value;
    if (!translate_measured(frame.cfa - kWord, false, address)) return false;
    return continue_at_return_address(VirtAddr(address), registers_);
}

bool Walker::leave_by_rules(Frame& frame) {
    const FoundRow* found = cache_ ? cache_->find(frame.lookup_pc) : nullptr;
    FoundRow fresh;
    if (!found) {
        if (!find_frame_row(frame.lookup_pc, fresh)) return false;
        found = cache_ ? &cache_->store(frame.lookup_pc, fresh) : &fresh;
    }
    const Row& row = found->row;
    if (!compute_cfa(row.cfa, frame.cfa)) return false;
    // An interrupt entry's own stack may be another one than its frame address's.
    if (!found->signal_frame && frame.cfa <= stack_pointer()) return refuse(Unreliable::frame_not_growing);

    Registers caller = registers_;
    // r10 isn't preserved by calls; an interrupt entry that hasn't saved it yet hasn't changed it either.
    if (!found->signal_frame) caller.forget(Register::r10);
    for (u32 left = row.mentioned & kRestored; left != 0; left &= left - 1)
        if (!restore_register(row, static_cast<Register>(std::countr_zero(left)), frame.cfa, caller)) return false;
    if (found->signal_frame) return leave_interrupt_entry(frame, row, caller);

    // A compiled function's stack pointer at its return is its frame address, and its return address lies just below.
    const SaveRule& rsp = row.rule(Register::rsp);
    const SaveRule& rip = row.rule(Register::rip);
    if (rip.kind != SaveRule::Kind::at_cfa || rip.offset != kReturnOffset || rsp.kind != SaveRule::Kind::unspecified)
        return refuse(Unreliable::return_address_unknown);
    return leave_called(frame, caller);
}

bool Walker::find_frame_row(VirtAddr lookup_pc, FoundRow& found) {
    if (!code_.is_text(lookup_pc)) return refuse(Unreliable::pc_outside_text);
    auto fde = code_.find(lookup_pc);
    if (!fde || !fde->range.contains(lookup_pc)) return refuse(Unreliable::no_frame_information);
    auto row = find_row(*fde, lookup_pc);
    if (!row) return refuse(Unreliable::bad_frame_information);
    found = {*row, fde->signal_frame};
    return true;
}

bool Walker::leave_called(Frame& frame, const Registers& caller) {
    frame.return_slot = frame.cfa - kWord;
    u64 address = 0;
    if (!read_slot(frame.return_slot, address)) return false;
    if (!translate(frame.return_slot, frame.known, address)) return false;
    Registers after = caller;
    after.set(Register::rsp, frame.cfa.value);
    return continue_at_return_address(VirtAddr(address), after);
}

// Checks the address, and goes on in the caller.
bool Walker::continue_at_return_address(VirtAddr address, Registers caller) {
    KnownFrame known = code_.known_frame(address);
    if (known == KnownFrame::trampoline) return refuse(Unreliable::trampoline_called);
    // A new task is switched to as if its entry had called the switch: nothing need stand before it.
    if (known != KnownFrame::task_entry) {
        auto before = code_.text_before(address, kLongestCall);
        if (before.empty()) return refuse(Unreliable::pc_outside_text);
        if (!ends_with_call(before)) return refuse(Unreliable::not_after_call);
    }
    registers_ = caller;
    registers_.set(Register::rip, address.value);
    known_ = known;
    exact_ = false;
    return true;
}

bool Walker::leave_interrupt_entry(Frame& frame, const Row& row, Registers caller) {
    const SaveRule& rip = row.rule(Register::rip);
    if (rip.kind != SaveRule::Kind::at_cfa) return refuse(Unreliable::return_address_unknown);
    VirtAddr slot = frame.cfa + static_cast<u64>(i64{rip.offset});
    u64 address = 0;
    if (!read_slot(slot, address)) return false;

    u64 rsp = frame.cfa.value;
    const SaveRule& saved = row.rule(Register::rsp);
    if (saved.kind == SaveRule::Kind::at_cfa) {
        if (!read_slot(frame.cfa + static_cast<u64>(i64{saved.offset}), rsp)) return false;
    } else if (saved.kind != SaveRule::Kind::unspecified) {
        return refuse(Unreliable::return_address_unknown);
    }

    usize segment = segment_;
    while (segment < segments_.count && !holds_pointer(segments_.ranges[segment], VirtAddr(rsp))) ++segment;
    if (segment == segments_.count) return refuse(Unreliable::wrong_stack_order);
    if (segment == segment_ && VirtAddr(rsp) <= slot) return refuse(Unreliable::frame_not_growing);
    segment_ = segment;

    registers_ = caller;
    registers_.set(Register::rsp, rsp);
    registers_.set(Register::rip, address);
    saved_rip_slot_ = slot;
    known_ = code_.known_frame(VirtAddr(address));
    exact_ = true;
    return true;
}

bool Walker::compute_cfa(const CfaRule& rule, VirtAddr& cfa) {
    if (!registers_.is_known(rule.base)) return refuse(Unreliable::register_unknown);
    cfa = VirtAddr(registers_.get(rule.base) + static_cast<u64>(i64{rule.offset}));
    if (rule.kind == CfaRule::Kind::word_at_sum) {
        u64 word = 0;
        if (!read_slot(cfa, word)) return false;
        cfa = VirtAddr(word);
    }
    if (!holds_pointer(stack(), cfa)) return refuse(Unreliable::outside_stack);
    return true;
}

bool Walker::restore_register(const Row& row, Register which, VirtAddr cfa, Registers& caller) {
    const SaveRule& rule = row.rule(which);
    VirtAddr slot;
    switch (rule.kind) {
        case SaveRule::Kind::unspecified:
            return true;
        case SaveRule::Kind::same_value:
            // As the function found it: what was taken for lost in r10 is there.
            if (registers_.is_known(which)) caller.set(which, registers_.get(which));
            return true;
        case SaveRule::Kind::undefined:
            caller.forget(which);
            return true;
        case SaveRule::Kind::cfa_sum:
            caller.set(which, (cfa + static_cast<u64>(i64{rule.offset})).value);
            return true;
        case SaveRule::Kind::in_register:
            if (registers_.is_known(rule.base))
                caller.set(which, registers_.get(rule.base));
            else
                caller.forget(which);
            return true;
        case SaveRule::Kind::at_cfa:
            slot = cfa + static_cast<u64>(i64{rule.offset});
            break;
        case SaveRule::Kind::at_register_sum:
            if (!registers_.is_known(rule.base)) return refuse(Unreliable::register_unknown);
            slot = VirtAddr(registers_.get(rule.base) + static_cast<u64>(i64{rule.offset}));
            break;
    }
    u64 value = 0;
    if (!read_slot(slot, value)) return false;
    caller.set(which, value);
    return true;
}

bool Walker::read_slot(VirtAddr slot, u64& value) {
    if (!slot.is_aligned(kWord)) return refuse(Unreliable::unaligned);
    // The order of the comparisons keeps the sums from wrapping.
    if (slot < stack().begin || slot >= stack().end || stack().end - slot < kWord)
        return refuse(Unreliable::outside_stack);
    if (slot < stack_pointer()) return refuse(Unreliable::below_stack_pointer);
    value = memory_.read(slot);
    return true;
}

// The hook lies on top of what is measured: where a slot has both, its original is the routine of measured functions.
bool Walker::translate(VirtAddr slot, KnownFrame at, u64& value) {
    if (at == KnownFrame::measured_return) return translate_measured(slot, true, value);
    if (!translate_hook(slot, at == KnownFrame::return_hook, value)) return false;
    return translate_measured(slot, false, value);
}

bool Walker::translate_measured(VirtAddr slot, bool in_routine, u64& value) {
    bool is_measured = in_routine || (VirtAddr(value) == code_.measured_return() && code_.measured_return());
    if (!is_measured) return true;
    for (const MeasuredReturn& record : hook_.measured) {
        if (record.slot != slot.value) continue;
        value = record.original;
        return true;
    }
    // The routine has put the original back, and the record is closed.
    if (VirtAddr(value) != code_.measured_return()) return true;
    return refuse(Unreliable::measured_without_record);
}

bool Walker::translate_hook(VirtAddr slot, bool in_hook_routine, u64& value) {
    bool is_hook = VirtAddr(value) == code_.return_hook();
    if (!hook_.slot || slot != hook_.slot) return is_hook ? refuse(Unreliable::hook_without_record) : true;
    // The hook routine has put the original back, and the record still stands.
    if (in_hook_routine && VirtAddr(value) == hook_.original) return true;
    if (!is_hook) return refuse(Unreliable::hook_overwritten);
    value = hook_.original.value;
    return true;
}

std::string_view name_of(Unreliable reason) {
    switch (reason) {
        case Unreliable::none:
            return "none";
        case Unreliable::stack_pointer_outside:
            return "stack pointer in no known stack";
        case Unreliable::pc_outside_text:
            return "address outside text";
        case Unreliable::no_frame_information:
            return "no frame information";
        case Unreliable::bad_frame_information:
            return "bad frame information";
        case Unreliable::register_unknown:
            return "register not known";
        case Unreliable::return_address_unknown:
            return "no entry frame, and no return address";
        case Unreliable::frame_not_growing:
            return "frame not growing";
        case Unreliable::outside_stack:
            return "frame outside the stack";
        case Unreliable::below_stack_pointer:
            return "saved word below the stack pointer";
        case Unreliable::unaligned:
            return "frame not aligned";
        case Unreliable::wrong_stack_order:
            return "stacks in the wrong order";
        case Unreliable::not_after_call:
            return "return address not after a call";
        case Unreliable::trampoline_called:
            return "return address in a trampoline";
        case Unreliable::hook_without_record:
            return "hook without a record";
        case Unreliable::measured_without_record:
            return "measured return without a record";
        case Unreliable::hook_overwritten:
            return "hook overwritten";
        case Unreliable::entry_frame_misplaced:
            return "entry frame in the wrong place";
        case Unreliable::too_many_frames:
            return "too many frames";
    }
    return "unknown reason";
}

}  // namespace graft::arch
