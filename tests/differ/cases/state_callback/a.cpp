// A callback is a function of the patch: one of the image would be called by the patch's word alone.
#include "patch/author.h"

extern "C" int sink(int);
__attribute__((noinline)) graft::i32 image_callback(graft::u64 value) {
    return sink(static_cast<int>(value));
}
#ifdef PATCHED
GRAFT_STATE("known", .id = 7, .version = 2, .pre_patch = image_callback);
#endif
extern "C" void root_state_callback() {
    image_callback(1);
}
