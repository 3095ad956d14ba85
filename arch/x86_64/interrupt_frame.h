// InterruptFrame: the registers that the entry assembly saves on the interrupted stack, in the order it pushes them.
// The assembly carries call-frame information for each, so the unwinder crosses it like any frame.
#pragma once

#include <cstddef>

#include "base/types.h"

namespace graft::arch {

struct InterruptFrame {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector;
    u64 error_code;  // 0 where the processor pushes none
    // Pushed by the processor [intel/vol3 §6.14.2]:
    u64 rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(InterruptFrame) == 22 * 8);

}  // namespace graft::arch
