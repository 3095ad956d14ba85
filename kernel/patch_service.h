// The live-patching core of this system: one registry over one machine, its worker, and the patches that the boot
// loader brought along as modules.
//
// Boot patches are loaded one after the other, in the order in which they were added: the next one when the transition
// of the one before has ended. One that is refused is reported and passed over. The worker loads them, so nobody waits.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"
#include "patch/registry.h"

namespace graft::kernel {

inline constexpr usize kMaxBootPatches = 16;

// Context: any task; see patch/registry.h.
[[nodiscard]] patch::Registry& patch_registry();

// Makes the worker. Context: boot, after start_tasks().
void start_patch_service();

// `name` and `file` must stay. False when there are kMaxBootPatches already. Context: boot.
[[nodiscard]] bool add_boot_patch(std::string_view name, std::span<const std::byte> file);
// The contents of the boot patch with this index, from 0; empty when there is none. Context: any, after boot.
[[nodiscard]] std::span<const std::byte> boot_patch(usize index);
// Begins to load them. Context: task.
void load_boot_patches();

// What every task's patch state is when no transition runs. Context: any.
[[nodiscard]] u8 settled_patch_state();

}  // namespace graft::kernel
