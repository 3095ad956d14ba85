// Destructors of a patch's static objects. The compiler registers them with __cxa_atexit(destructor, object,
// &__dso_handle) [Itanium C++ ABI §3.3.6]; in a patch the loader leads __cxa_atexit to graft_patch_atexit() and
// __dso_handle to the patch's own DestructorTable, which lies at the end of its writable data. They run once, after the
// last task has left the patch.
//
// Invariant: entries below min(count, capacity) are written or being written by a constructor that hasn't returned; who
// runs them knows that no code of the patch runs any more.
// Locking: the table by its counter; several tasks may register at a time (static locals).
#pragma once

#include <atomic>
#include <string_view>

#include "base/types.h"

namespace graft::patch {

struct DestructorEntry {
    u64 function;
    u64 object;
};

struct DestructorTable {
    std::atomic<u32> count;  // registered, those for which there was no room included
    u32 capacity;
    u64 reserved;

    DestructorEntry* entries() { return reinterpret_cast<DestructorEntry*>(this + 1); }
    static constexpr u64 size_for(u32 capacity) {
        return sizeof(DestructorTable) + u64{capacity} * sizeof(DestructorEntry);
    }
};
static_assert(sizeof(DestructorTable) == 16 && sizeof(DestructorEntry) == 16);

inline constexpr std::string_view kAtexitSymbol = "__cxa_atexit";
inline constexpr std::string_view kHandleSymbol = "__dso_handle";
inline constexpr std::string_view kPatchAtexitSymbol = "graft_patch_atexit";  // of the image

}  // namespace graft::patch

// Returns 0, or 1 when the table is full: then the destructor never runs. Context: any.
extern "C" int graft_patch_atexit(void (*destructor)(void*), void* object, void* handle);
