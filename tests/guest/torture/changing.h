// The functions that the torture patch replaces, and what one round of calls of them leaves behind.
//
// Every changing function, in either version, first notes its side in Round::seen, then does what the round asks for:
// spin, yield, sleep, wait. A round in which both sides were seen is a mixed observation. The caller of them all,
// round_trip(), is unchanged and held: between two moments outside of it a task must see one side only.
#pragma once

#include "base/types.h"

namespace graft::torture {

inline constexpr u32 kOldSide = 1;
inline constexpr u32 kNewSide = 2;

enum class Linger : u8 {
    none,   // return at once
    spin,   // stay on the processor for a while
    yield,  // let others run
    sleep,  // a short sleep
    gate,   // wait until the driver opens the gate
};

struct Round {
    u32 seen = 0;
    Linger in_first = Linger::none;
    Linger in_second = Linger::none;
    Linger in_touch = Linger::none;
    Linger in_depth = Linger::none;
    bool fail = false;  // takes the cold path of checked()
    u8 depth = 0;       // of the recursion
    bool give_birth = false;
    u64 random = 0;  // a state for linger()'s choices
};

// The pair. A mix of one's old and the other's new version is the defect that consistency prevents.
u64 first(Round& round, u64 value);
u64 second(Round& round, u64 value);
// Recursive: several frames of a changing function on one stack.
u64 descend(Round& round, u8 depth);
// Has a split-off cold part (compiled without the flag that forbids it), in which it waits.
u64 checked(Round& round, u64 value);

// touch() is called through a thunk that adjusts `this`: assembly without a call site that jumps to the function.
struct Counted {
    virtual ~Counted() = default;
    virtual u64 count() const = 0;
    u64 calls = 0;
};
struct Touchable {
    virtual ~Touchable() = default;
    virtual u64 touch(Round& round) = 0;
    u64 touches = 0;
};
struct Both final : Counted, Touchable {
    u64 count() const override;
    u64 touch(Round& round) override;
};

// Unchanged; held by the patch. Returns what both versions of the changing functions compute alike.
u64 round_trip(Round& round, Touchable& touchable);

// What a changing function does with its time. Unchanged, and not held: on the stack it is above the changing ones.
void linger(Round& round, Linger how);
// Starts a task that makes a few rounds and ends. Unchanged.
void give_birth(Round& round);

}  // namespace graft::torture
