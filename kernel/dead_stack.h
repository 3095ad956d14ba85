// Clears what calls that are over have left on the running task's stack. Code that looked at a patch leaves its
// addresses there, and a later frame may come to lie over them without writing every word: to the search for references
// they would look alive.
#pragma once

#include "arch/x86_64/cpu.h"
#include "base/types.h"
#include "kernel/task.h"

namespace graft::kernel {

// What examining a task's stack uses at most of the stack on which it happens, which may be any task's.
inline constexpr u64 kUsedByExamination = 4096;

// Up to `bytes` below the caller's frame. Inlined and without a call: its own return address would lie there. An
// interrupt meanwhile does no harm: its frame is gone when this goes on. Context: a task, interrupts on or off.
[[gnu::always_inline]] inline void clear_dead_stack(u64 bytes) {
    u64 end = arch::read_rsp();
    u64 lowest = current_task().stack.begin.value;
    u64 begin = end - lowest < bytes ? lowest : end - bytes;
    u64 words = (end - begin) / sizeof(u64);
    u64 zero = 0;
    asm volatile("rep stosq" : "+D"(begin), "+c"(words) : "a"(zero) : "memory");
}

}  // namespace graft::kernel
