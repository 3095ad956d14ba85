#include "tests/guest/unwind/corruption.h"

#include <array>
#include <cstring>

#include "arch/x86_64/measuring.h"
#include "arch/x86_64/return_hook.h"
#include "kernel/code_map.h"
#include "kernel/task_walk.h"
#include "tests/guest/unwind/stepper.h"

namespace graft::unwind_test {

namespace {

constexpr usize kWords = 8192;
// One stack at a time: everything runs on one processor, in the debug exception.
std::array<u64, kWords> copy;

class CopiedStack final : public arch::StackReader {
public:
    explicit CopiedStack(u64 begin) : begin_(begin) {}
    u64 read(VirtAddr slot) const override {
        // Corruption can lead the walk anywhere in the stack, also below what was copied: as good as garbage.
        u64 index = (slot.value - begin_) / sizeof(u64);
        return slot.value >= begin_ && index < kWords ? copy[index] : 0;
    }

private:
    u64 begin_;
};

constexpr u8 kUnknownOperation = 0x1f;
constexpr u8 kAdvance4 = 0x04;
constexpr u8 kRestoreState = 0x0b;

}  // namespace

// The real code map, but for the function around one pc.
class Corruptor::Code final : public arch::CodeMap {
public:
    Code(Table how, VirtAddr pc) : how_(how), pc_(pc) {}

    std::optional<arch::FdeView> find(VirtAddr pc) const override {
        auto fde = kernel::code_map().find(pc);
        if (how_ == Table::right || !fde || !fde->range.contains(pc_)) return fde;
        static constexpr std::array<std::byte, 1> kUnknown = {std::byte{kUnknownOperation}};
        static constexpr std::array<std::byte, 5> kFar = {std::byte{kAdvance4}, std::byte{0xff}, std::byte{0xff},
                                                          std::byte{0xff}, std::byte{0x7f}};
        static constexpr std::array<std::byte, 1> kUnbalanced = {std::byte{kRestoreState}};
        if (how_ == Table::none) return std::nullopt;
        if (how_ == Table::unknown_operation) fde->program = kUnknown;
        if (how_ == Table::row_outside_function) fde->program = kFar;
        if (how_ == Table::unbalanced) fde->program = kUnbalanced;
        return fde;
    }
    bool is_text(VirtAddr pc) const override { return kernel::code_map().is_text(pc); }
    arch::KnownFrame known_frame(VirtAddr pc) const override { return kernel::code_map().known_frame(pc); }
    VirtAddr return_hook() const override { return kernel::code_map().return_hook(); }
    VirtAddr measured_return() const override { return kernel::code_map().measured_return(); }
    std::span<const std::byte> text_before(VirtAddr pc, usize count) const override {
        return kernel::code_map().text_before(pc, count);
    }

private:
    Table how_;
    VirtAddr pc_;
};

Corruptor::Corruptor(const kernel::Task& task, const arch::InterruptFrame& frame, std::span<const ShadowFrame> shadow)
    : task_(task),
      shadow_(shadow),
      good_(kernel::registers_of(frame)),
      good_hook_{VirtAddr(task.context.hook.slot), VirtAddr(task.context.hook.original), task.context.measured.open()},
      begin_(VirtAddr(frame.rsp).align_down(sizeof(u64)).value),
      fits_((task.stack.end - VirtAddr(begin_)) / sizeof(u64) <= kWords) {}

void Corruptor::begin() {
    registers_ = good_;
    hook_ = good_hook_;
    segments_ = arch::StackSegments::of_task(task_.stack, task_.stack.end - arch::kTaskEntryFrameOffset);
    table_ = Table::right;
    if (fits_) std::memcpy(copy.data(), reinterpret_cast<const void*>(begin_), task_.stack.end - VirtAddr(begin_));
}

u64* Corruptor::word(u64 slot) {
    u64 index = (slot - begin_) / sizeof(u64);
    return slot >= begin_ && index < kWords && VirtAddr(slot) < task_.stack.end ? &copy[index] : nullptr;
}

bool Corruptor::set(u64 slot, u64 value) {
    u64* place = word(slot);
    if (!place || *place == value) return false;
    *place = value;
    return true;
}

// A call's return address, not hooked. To the routine that measured functions return to, its slot is nothing.
bool Corruptor::replace_return(u64 where, u64 value) {
    usize index = where % shadow_.size();
    const ShadowFrame& frame = shadow_[index];
    if (kernel::code_map().known_frame(lookup_pc(index)) == arch::KnownFrame::measured_return) return false;
    if (frame.interrupt || VirtAddr(frame.slot) == hook_.slot || value == frame.pc) return false;
    return set(frame.slot, value);
}

bool Corruptor::lose_measured_record() {
    for (const arch::MeasuredReturn& record : hook_.measured) {
        const u64* place = word(record.slot);
        if (!place || *place != reinterpret_cast<u64>(graft_measure_return)) continue;
        hook_.measured = {};
        return true;
    }
    return false;
}

// Where a function has saved its caller's frame pointer, and the caller's frame is found by it.
bool Corruptor::replace_frame_pointer(u64 where, i64 distance) {
    usize index = where % shadow_.size();
    if (index < 2) return false;
    const ShadowFrame& frame = shadow_[index];
    const ShadowFrame& caller = shadow_[index - 1];
    if (frame.interrupt || caller.interrupt || !saves_frame_pointer(index)) return false;
    u64* saved = word(frame.slot - sizeof(u64));
    if (!saved || *saved + sizeof(u64) != caller.slot) return false;
    *saved = distance == 0 ? task_.stack.end.value + 4096 : *saved + static_cast<u64>(distance);
    return true;
}

// By what the function whose return address is shadow_[index] is found.
VirtAddr Corruptor::lookup_pc(usize index) const {
    if (index + 1 == shadow_.size()) return VirtAddr(good_.get(arch::Register::rip));
    const ShadowFrame& callee = shadow_[index + 1];
    return VirtAddr(callee.interrupt ? callee.pc : callee.pc - 1);
}

// Whether that function keeps its caller's frame pointer right below its return address.
bool Corruptor::saves_frame_pointer(usize index) const {
    VirtAddr pc = lookup_pc(index);
    auto fde = kernel::code_map().find(pc);
    if (!fde) return false;
    auto row = arch::find_row(*fde, pc);
    if (!row) return false;
    const arch::SaveRule& rule = row->rule(arch::Register::rbp);
    return rule.kind == arch::SaveRule::Kind::at_cfa && rule.offset == 2 * arch::kReturnOffset;
}

// In the innermost interrupt's five words: rip, cs, rflags, rsp, ss.
bool Corruptor::replace_saved_stack_pointer(u64 value) {
    for (usize i = shadow_.size(); i-- > 0;)
        if (shadow_[i].interrupt) return set(shadow_[i].slot + 3 * sizeof(u64), value);
    return false;
}

bool Corruptor::break_table(u64 where, Table how) {
    const ShadowFrame& frame = shadow_[where % shadow_.size()];
    VirtAddr pc = frame.interrupt ? VirtAddr(frame.pc) : VirtAddr(frame.pc - 1);
    if (kernel::code_map().known_frame(VirtAddr(frame.pc)) != arch::KnownFrame::none) return false;
    if (!kernel::code_map().find(pc)) return false;
    table_ = how;
    broken_pc_ = pc;
    return true;
}

bool Corruptor::apply(Corruption kind, u64 where) {
    if (!fits_ || shadow_.size() < 4) return false;
    begin();
    const ShadowFrame& outermost = shadow_[0];
    auto some_function = reinterpret_cast<u64>(&kernel::code_map);
    switch (kind) {
        case Corruption::pc_outside_text:
            registers_.set(arch::Register::rip, task_.stack.begin.value);
            return true;
        case Corruption::return_outside_text:
            return replace_return(where, 0x1234);
        case Corruption::return_into_stack:
            return replace_return(where, task_.stack.end.value - 64);
        // Right behind the call site of a function.
        case Corruption::return_after_no_call:
            return replace_return(where, some_function + 5);
        case Corruption::return_to_entry_of_function:
            return replace_return(where, reinterpret_cast<u64>(graft_return_hook) + 1);
        case Corruption::return_is_hook_without_record:
            return replace_return(where, reinterpret_cast<u64>(graft_return_hook));
        case Corruption::hook_record_without_hook: {
            usize index = where % shadow_.size();
            const ShadowFrame& frame = shadow_[index];
            // The hook routine's own frame is just so while the hook fires.
            arch::KnownFrame known = kernel::code_map().known_frame(lookup_pc(index));
            bool in_hook = known == arch::KnownFrame::return_hook || known == arch::KnownFrame::measured_return;
            if (frame.interrupt || in_hook || hook_.slot || !word(frame.slot)) return false;
            hook_ = {VirtAddr(frame.slot), VirtAddr(frame.pc), good_hook_.measured};
            return true;
        }
        case Corruption::measured_without_record: {
            u64 slot = shadow_[where % shadow_.size()].slot;
            for (const arch::MeasuredReturn& record : hook_.measured)
                if (record.slot == slot) return false;
            return replace_return(where, reinterpret_cast<u64>(graft_measure_return));
        }
        case Corruption::measured_record_lost:
            return lose_measured_record();
        case Corruption::entry_frame_in_the_middle:
            return where % shadow_.size() != 0 && replace_return(where, outermost.pc);
        case Corruption::no_entry_frame:
            return replace_return(0, shadow_[1].pc);
        case Corruption::frame_pointer_below:
            return replace_frame_pointer(where, -65536);
        case Corruption::frame_pointer_outside:
            return replace_frame_pointer(where, 0);
        case Corruption::frame_pointer_unaligned:
            return replace_frame_pointer(where, 4);
        case Corruption::stack_pointer_outside:
            registers_.set(arch::Register::rsp, task_.stack.end.value + 8);
            return true;
        case Corruption::saved_stack_pointer_below:
            return replace_saved_stack_pointer(begin_ - 64);
        case Corruption::saved_stack_pointer_outside:
            return replace_saved_stack_pointer(task_.stack.end.value + 64);
        case Corruption::unknown_operation:
            return break_table(where, Table::unknown_operation);
        case Corruption::row_outside_function:
            return break_table(where, Table::row_outside_function);
        case Corruption::rows_unbalanced:
            return break_table(where, Table::unbalanced);
        case Corruption::no_frame_information:
            return break_table(where, Table::none);
        case Corruption::wrong_top:
            segments_.top = segments_.top - 16;
            return true;
        case Corruption::count:
            break;
    }
    return false;
}

void Corruptor::flip_bit(u64 where) {
    begin();
    if (!fits_) return;
    u64 bits = (task_.stack.end - VirtAddr(begin_)) * 8;
    if (bits == 0) return;
    u64 bit = where % bits;
    copy[bit / 64] ^= u64{1} << (bit % 64);
}

Corruptor::Outcome Corruptor::walk() {
    CopiedStack memory(begin_);
    Code code(table_, broken_pc_);
    arch::Walker walker(code, memory, segments_, registers_, hook_, true);
    u64 pc = good_.get(arch::Register::rip);
    usize left = shadow_.size();
    bool same = true;
    arch::Frame frame;
    while (walker.next(frame)) {
        same = same && frame.pc.value == pc;
        if (left != 0) pc = shadow_[--left].pc;
    }
    if (!walker.complete()) return Outcome::refused;
    return same && left == 0 ? Outcome::same : Outcome::changed;
}

std::string_view name_of(Corruption kind) {
    switch (kind) {
        case Corruption::pc_outside_text:
            return "pc outside text";
        case Corruption::return_outside_text:
            return "return address outside text";
        case Corruption::return_into_stack:
            return "return address in the stack";
        case Corruption::return_after_no_call:
            return "return address behind a call site";
        case Corruption::return_to_entry_of_function:
            return "return address inside an instruction";
        case Corruption::return_is_hook_without_record:
            return "hook without a record";
        case Corruption::hook_record_without_hook:
            return "record without a hook";
        case Corruption::measured_without_record:
            return "measured return without a record";
        case Corruption::measured_record_lost:
            return "record of a measured return lost";
        case Corruption::entry_frame_in_the_middle:
            return "entry frame in the middle";
        case Corruption::no_entry_frame:
            return "no entry frame";
        case Corruption::frame_pointer_below:
            return "frame pointer below the stack pointer";
        case Corruption::frame_pointer_outside:
            return "frame pointer outside the stack";
        case Corruption::frame_pointer_unaligned:
            return "frame pointer unaligned";
        case Corruption::stack_pointer_outside:
            return "stack pointer outside the stack";
        case Corruption::saved_stack_pointer_below:
            return "saved stack pointer below";
        case Corruption::saved_stack_pointer_outside:
            return "saved stack pointer outside";
        case Corruption::unknown_operation:
            return "unknown operation";
        case Corruption::row_outside_function:
            return "row outside its function";
        case Corruption::rows_unbalanced:
            return "restore without remember";
        case Corruption::no_frame_information:
            return "no frame information";
        case Corruption::wrong_top:
            return "entry frame not at the top";
        case Corruption::count:
            break;
    }
    return "unknown";
}

}  // namespace graft::unwind_test
