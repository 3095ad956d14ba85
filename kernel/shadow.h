// The system's shadow variables: one patch::ShadowStore over the kernel's heap, behind the functions that
// patch/shadow.h declares. Patches call them by name.
//
// Locking: the store's own. Context: any, see patch/shadow.h.
#pragma once

#include "base/types.h"
#include "patch/shadow_store.h"

namespace graft::kernel {

[[nodiscard]] patch::ShadowStore& shadow_store();

// The heap is about to take this memory back.
void note_freed_object(const void* object);

}  // namespace graft::kernel
