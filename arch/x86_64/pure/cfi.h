// Call-frame programs: from an FDE and a pc to the row of rules that holds there.
//
// Carried are the registers that a frame address or a callee-saved value can depend on: those that the ABI lets a
// callee save, and r10, which holds the frame address in the prologue of a realigned function. Rules for other
// registers are checked and dropped. What isn't known is an error, never a guess.
//
// Pure: no state, no locks, no allocation; callable in any context. [dwarf §6.4.2] [psABI §3.6.2]
#pragma once

#include <array>

#include "arch/x86_64/pure/eh_frame.h"
#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

enum class Register : u8 { rbx, rbp, r10, r12, r13, r14, r15, rsp, rip };
inline constexpr usize kRegisterCount = 9;

// The canonical frame address: base + offset, or the word found there.
struct CfaRule {
    enum class Kind : u8 { none, sum, word_at_sum };
    Kind kind = Kind::none;
    Register base = Register::rsp;
    i32 offset = 0;
};

// Where the caller's value of a register is.
struct SaveRule {
    enum class Kind : u8 {
        unspecified,      // not mentioned: unchanged when the ABI has it callee-saved
        undefined,        // lost
        same_value,       // unchanged
        at_cfa,           // in memory at cfa + offset
        cfa_sum,          // the value cfa + offset itself
        in_register,      // in `base`
        at_register_sum,  // in memory at base + offset
    };
    Kind kind = Kind::unspecified;
    Register base = Register::rsp;
    i32 offset = 0;
};

struct Row {
    CfaRule cfa;
    std::array<SaveRule, kRegisterCount> rules;
    u16 mentioned = 0;  // bit r: the program has mentioned register r; the others are `unspecified`

    const SaveRule& rule(Register which) const { return rules[static_cast<usize>(which)]; }
    void mention(Register which, SaveRule rule) {
        rules[static_cast<usize>(which)] = rule;
        mentioned |= static_cast<u16>(1u << static_cast<usize>(which));
    }
};

// The depth to which remember_state may nest. GCC never nests it.
inline constexpr usize kMaxRemembered = 3;

// The row that holds at `pc`, which must lie in the function's range.
Result<Row, FrameError> find_row(const FdeView& fde, VirtAddr pc);

// Where the return address of a called function lies from its frame address. [psABI §3.2.2]
inline constexpr i32 kReturnOffset = -8;

// Runs the whole program: every operation known, every row inside the function and with a frame address, and in a patch
// with a return address at kReturnOffset from it.
Result<void, FrameError> check_program(const FdeView& fde, TableOwner owner);

}  // namespace graft::arch
