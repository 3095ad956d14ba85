// The callbacks of most states here: they are counted, and pre_patch can be held.
#pragma once

#include "patch/author.h"
#include "tests/guest/lifecycle/world.h"

// `work` is done in pre_patch, and its value is the answer.
#define LIFECYCLE_CALLBACKS(file, work)               \
    static ::graft::i32 pre_patch(::graft::u64) {     \
        count_callback(file, Callback::pre_patch);    \
        arrive_in_pre_patch();                        \
        return work;                                  \
    }                                                 \
    static void post_patch(::graft::u64) {            \
        count_callback(file, Callback::post_patch);   \
    }                                                 \
    static void pre_unpatch(::graft::u64) {           \
        count_callback(file, Callback::pre_unpatch);  \
    }                                                 \
    static void post_unpatch(::graft::u64) {          \
        count_callback(file, Callback::post_unpatch); \
    }
#define LIFECYCLE_STATE(name, ...)                                                                               \
    GRAFT_STATE(name, __VA_ARGS__, .pre_patch = pre_patch, .post_patch = post_patch, .pre_unpatch = pre_unpatch, \
                .post_unpatch = post_unpatch)
