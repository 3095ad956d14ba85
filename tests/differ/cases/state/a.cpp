// A state that the diff declares comes with its callbacks, and with nothing else of the declaration.
#include "patch/author.h"

extern "C" int sink(int);
long state_level = 4;
#ifdef PATCHED
static graft::i32 raise(graft::u64) {
    state_level = 5;
    return 0;
}
static void lower(graft::u64) {
    state_level = 4;
}
GRAFT_STATE("level", .id = 7, .version = 2, .pre_patch = raise, .post_unpatch = lower);
#endif
extern "C" void root_state() {
    sink(static_cast<int>(state_level));
}
