// What the patch of this test changes: a function that does nothing, and faults where the patch is in force. How it
// faults is the order's business.
#pragma once

#include <atomic>
#include <string_view>

#include "base/types.h"
#include "kernel/mutex.h"

namespace graft::contain_test {

enum class Fault : u8 {
    none,
    read,        // through a null pointer
    write,       // the same
    helper,      // in a function of the patch that the new one calls
    memcpy,      // in the image's own code, which was handed a null pointer
    divide,      // by zero
    opcode,      // that is none
    protection,  // an address that can't be
    jump,        // a call through a null pointer
    late,        // a read, after having waited to be let go
    // from here on, what can't be contained
    spinlock,    // with one held
    mutex,       // the same
    interrupts,  // with interrupts off
    anchor,      // with a deadline set, which lies on the stack
    timer,       // with a timer on the stack, set
    work,        // with work on the stack, queued
    overflow,    // of the stack
    unwindable,  // with a stack that is not what the call-frame information says
    original,    // in the image's own version only, after having waited
    stay,        // no fault: waits until it is let go
};
inline constexpr usize kFaultCount = 20;
inline constexpr usize kLastAtOnce = 8;  // of those that fault at once and are contained
inline constexpr std::string_view kFaultNames[] = {
    "none",     "read",  "write",      "helper", "memcpy", "divide", "opcode",   "protection", "jump",     "late",
    "spinlock", "mutex", "interrupts", "anchor", "timer",  "work",   "overflow", "unwindable", "original", "stay"};

// Which callback of the patch's state faults, by reading a null pointer.
enum class Callback : u8 { none, pre_patch, post_patch, pre_unpatch, post_unpatch, destroy };

struct Order {
    Fault fault = Fault::none;
    u64 done = 0;  // calls that returned
};

// False in the image, true in the patch, if it returns.
bool do_job(Order& order);

inline constexpr u64 kState = 0x66616c74;  // the patch's

// What the patch's code uses.
extern std::atomic<Callback> faulty_callback;
extern kernel::Semaphore may_go;  // for those that stay
extern std::atomic<u64> staying;
[[gnu::noinline]] void stay();

}  // namespace graft::contain_test
