// The state that several of the patches name, and callbacks that say when they run.
#pragma once

#include "kernel/log.h"
#include "patch/author.h"
#include "patch/shadow.h"
#include "tests/guest/states/answer.h"

namespace graft::states_test {

inline constexpr u64 kLedger = 0x1ed6e4;

struct Entry {
    explicit Entry(u64 value) : value(value) {}
    ~Entry() { kernel::log_parts(kernel::LogLevel::info, "entry ", value, " ends"); }
    u64 value;
};
using EntryOf = patch::ShadowVariable<Entry, kLedger>;

}  // namespace graft::states_test

// Callbacks of a state that log `who` and their names; `make` is done in pre_patch and its value is the answer.
#define STATES_TEST_CALLBACKS(who, make)                          \
    static i32 pre_patch(u64) {                                   \
        kernel::log(kernel::LogLevel::info, who " pre_patch");    \
        return make;                                              \
    }                                                             \
    static void post_patch(u64) {                                 \
        kernel::log(kernel::LogLevel::info, who " post_patch");   \
    }                                                             \
    static void pre_unpatch(u64) {                                \
        kernel::log(kernel::LogLevel::info, who " pre_unpatch");  \
    }                                                             \
    static void post_unpatch(u64) {                               \
        kernel::log(kernel::LogLevel::info, who " post_unpatch"); \
    }
