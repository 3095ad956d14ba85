// Segments and task state: one descriptor table and one TSS a processor. Code and data only; no user mode.
#pragma once

#include "arch/x86_64/offsets.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr u16 kCodeSelector = GRAFT_CODE_SELECTOR;
inline constexpr u16 kDataSelector = GRAFT_DATA_SELECTOR;
inline constexpr u16 kTssSelector = GRAFT_TSS_SELECTOR;

// Stacks that the processor changes to by itself [intel/vol3 §7.7], as entries of the TSS's table. #BP has none: kernel
// code has no red zone, and a breakpoint inside a handler with such a stack would destroy it.
inline constexpr u8 kIstDoubleFault = 1;
inline constexpr u8 kIstNmi = 2;
inline constexpr u8 kIstMachineCheck = 3;
inline constexpr usize kIstCount = 3;
inline constexpr u64 kIstStackSize = 16 * 1024;

}  // namespace graft::arch
