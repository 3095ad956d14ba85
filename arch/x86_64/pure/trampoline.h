// The machine code that is generated or written at run time: trampolines, and the five bytes of a call site.
//
// A trampoline picks a version by the patch state of the running task, a byte of the processor's own block:
//
//     cmpb $0, %gs:offset      9 bytes
//     jne  when_one            6
//     jmp  when_zero           5
//
// It changes no register; flags and r11 are free at a function's entry, flags are what it uses. At most three
// instructions run, nothing is written, and the return address stays at the stack pointer: the walker's known frame.
//
// A gate leads to measuring (measuring.h), with the number of its call site in r11, which is free at a function's
// entry:
//
//     mov $index, %r11d        6 bytes
//     jmp graft_measure_entry  5
//
// Pure: no state, no locks; callable in any context. [intel/vol2 CMP, Jcc, JMP, NOP]
#pragma once

#include <array>
#include <span>

#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

inline constexpr usize kSiteSize = 5;
inline constexpr usize kTrampolineBytes = 20;
// Slots are 16-aligned; what a trampoline leaves of its slot is int3.
inline constexpr usize kTrampolineSlot = 32;
inline constexpr usize kGateBytes = 11;
// As above.
inline constexpr usize kGateSlot = 16;
inline constexpr u8 kBreakpoint = 0xcc;

using SiteBytes = std::array<u8, kSiteSize>;

// What the compiler leaves at a function's entry: one instruction, so that nobody can be interrupted inside it.
inline constexpr SiteBytes kSiteNop = {0x0f, 0x1f, 0x44, 0x00, 0x00};

struct OutOfReach {
    VirtAddr from;  // the end of the jump instruction, from which displacements count
    VirtAddr to;
};

// The displacement of a 32-bit jump, refused when it doesn't fit in either direction. Addresses don't wrap.
Result<i32, OutOfReach> displacement(VirtAddr from, VirtAddr to);

// `jmp target` for the site at `site`.
Result<SiteBytes, OutOfReach> encode_site_jump(VirtAddr site, VirtAddr target);

// Where a site's jump goes; nothing when the bytes aren't a jump.
constexpr bool is_site_jump(const SiteBytes& bytes) {
    return bytes[0] == 0xe9;
}
VirtAddr site_jump_target(VirtAddr site, const SiteBytes& bytes);

// Fills the slot that will run at `at`. `state_offset` is the patch state's offset from the GS base.
Result<void, OutOfReach> encode_trampoline(VirtAddr at, i32 state_offset, VirtAddr when_zero, VirtAddr when_one,
                                           std::span<u8, kTrampolineSlot> slot);

// Fills the slot of the gate that will run at `at`; `routine` is where it leads.
Result<void, OutOfReach> encode_gate(VirtAddr at, u32 index, VirtAddr routine, std::span<u8, kGateSlot> slot);

}  // namespace graft::arch
