// Corruptor: a copy of a live stack in which one thing is broken, and the walk over it.
//
// The listed corruptions must all be refused. A random bit flip may also hit what no walk looks at, or make another
// stack that is right in itself.
#pragma once

#include <span>
#include <string_view>

#include "arch/x86_64/interrupt_frame.h"
#include "arch/x86_64/pure/unwind.h"
#include "base/types.h"
#include "kernel/task.h"

namespace graft::unwind_test {

struct ShadowFrame;

enum class Corruption : u8 {
    pc_outside_text,
    return_outside_text,
    return_into_stack,
    return_after_no_call,
    return_to_entry_of_function,
    return_is_hook_without_record,
    hook_record_without_hook,
    measured_without_record,
    measured_record_lost,
    entry_frame_in_the_middle,
    no_entry_frame,
    frame_pointer_below,
    frame_pointer_outside,
    frame_pointer_unaligned,
    stack_pointer_outside,
    saved_stack_pointer_below,
    saved_stack_pointer_outside,
    unknown_operation,
    row_outside_function,
    rows_unbalanced,
    no_frame_information,
    wrong_top,
    count,
};

std::string_view name_of(Corruption kind);

class Corruptor {
public:
    enum class Outcome : u8 { same, changed, refused };

    // `frame`: where the running task was interrupted. `shadow`: its frames, outermost first.
    Corruptor(const kernel::Task& task, const arch::InterruptFrame& frame, std::span<const ShadowFrame> shadow);
    Corruptor(const Corruptor&) = delete;
    Corruptor& operator=(const Corruptor&) = delete;

    // Copies the stack and breaks it. `where` picks among the places there are. False when there is no such place.
    bool apply(Corruption kind, u64 where);
    // Copies the stack and turns one of its bits over.
    void flip_bit(u64 where);
    Outcome walk();

private:
    // The frame information of one function, broken.
    enum class Table : u8 { right, unknown_operation, row_outside_function, unbalanced, none };
    class Code;

    void begin();
    bool set(u64 slot, u64 value);
    u64* word(u64 slot);
    bool replace_return(u64 where, u64 value);
    bool lose_measured_record();
    bool replace_frame_pointer(u64 where, i64 distance);
    VirtAddr lookup_pc(usize index) const;
    bool saves_frame_pointer(usize index) const;
    bool replace_saved_stack_pointer(u64 value);
    bool break_table(u64 where, Table how);

    const kernel::Task& task_;
    std::span<const ShadowFrame> shadow_;
    arch::Registers good_;
    arch::HookRecord good_hook_;
    u64 begin_;
    bool fits_;

    arch::Registers registers_;
    arch::HookRecord hook_;
    arch::StackSegments segments_;
    Table table_ = Table::right;
    VirtAddr broken_pc_;
};

}  // namespace graft::unwind_test
