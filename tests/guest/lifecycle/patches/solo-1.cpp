// Attaches a note to each object.
#include "tests/guest/lifecycle/patches/callbacks.h"

GRAFT_PATCH("solo-1");
GRAFT_PATCH_SET("solo");

namespace graft::lifecycle {
namespace {

u32 new_gamma(Round& round) {
    linger(round, round.in_gamma);
    return 1;
}

i32 attach() {
    for (Object& object : g_objects) {
        if (NoteOf::get_or_alloc(&object, g_next_note.load(std::memory_order_relaxed)) == nullptr) return -1;
    }
    return 0;
}

LIFECYCLE_CALLBACKS(File::solo_1, attach())

}  // namespace

GRAFT_REPLACE(gamma, new_gamma);
GRAFT_STATE("notes", .id = kNotes, .version = 1, .pre_patch = pre_patch, .post_patch = post_patch,
            .pre_unpatch = pre_unpatch, .post_unpatch = post_unpatch, .destroy = NoteOf::destroy);

}  // namespace graft::lifecycle
