// The live-patching core of this system: one registry over one machine, and its worker.
#pragma once

#include "base/types.h"
#include "patch/registry.h"

namespace graft::kernel {

// Context: any task; see patch/registry.h.
[[nodiscard]] patch::Registry& patch_registry();

// Makes the worker. Context: boot, after start_tasks().
void start_patch_service();

// What every task's patch state is when no transition runs. Context: any.
[[nodiscard]] u8 settled_patch_state();

}  // namespace graft::kernel
