#include "patch/destructors.h"

// Called by patches only, so nothing in the image refers to it: kept by attribute.
extern "C" int graft_patch_atexit(void (*destructor)(void*), void* object, void* handle) {
    auto* table = static_cast<graft::patch::DestructorTable*>(handle);
    // Relaxed: it only hands out places. The entry is read when no code of the patch runs any more, which is
    // established by the transition's end.
    graft::u32 index = table->count.fetch_add(1, std::memory_order_relaxed);
    if (index >= table->capacity) return 1;
    table->entries()[index] = {reinterpret_cast<graft::u64>(destructor), reinterpret_cast<graft::u64>(object)};
    return 0;
}
