// Boot patches: those that the boot loader brought along as modules. They pass through the same checks as any other,
// and are in force before the application starts.
//
// They are loaded one after the other, in the order in which they were added: the next one when the transition of the
// one before has ended. One that is refused is reported in history and log and passed over; when patches are
// *required*, that is a panic. The patch worker does it all, so nobody waits on a stack, and the patch may change
// whatever can be patched.
//
// A transition that a task of the kernel holds up delays the application for kBootPatchTimeNs at most: then the
// application starts, and the patches go on behind it; or it is a panic when they are required.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"

namespace graft::kernel {

inline constexpr usize kMaxBootPatches = 16;
inline constexpr u64 kBootPatchTimeNs = 10'000'000'000;

enum class BootPatchPolicy : u8 {
    apply,     // and go on without those that are refused
    required,  // each must be in force, or the system doesn't start
    manual,    // the application loads them
};

// `name` and `file` must stay. False when there are kMaxBootPatches already. Context: boot.
[[nodiscard]] bool add_boot_patch(std::string_view name, std::span<const std::byte> file);
// The contents of the boot patch with this index, from 0; empty when there is none. Context: any, after boot.
[[nodiscard]] std::span<const std::byte> boot_patch(usize index);

// Calls `then` once, when they are in force; at once when there is nothing to do. Context: boot, after
// start_patch_service(); `then` is called there or by the patch worker.
void apply_boot_patches(BootPatchPolicy policy, void (*then)());
// The worker's part: no transition runs any more, or time has passed. Context: the patch worker.
void continue_boot_patches();

}  // namespace graft::kernel
