// Makes the permanent table of call sites from the image's symbols, and reads the image as if no site were live.
#pragma once

#include <span>

#include "arch/x86_64/call_sites.h"
#include "base/types.h"

namespace graft::kernel {

// Panics when there is no memory or an entry does not hold the NOP. Context: boot, once, after init_code_map().
void install_image_call_sites();

// Copies image bytes with the NOP at every call site. False when the range isn't in the image, or
// gone since the boot. Context: any.
[[nodiscard]] bool read_pristine_image(VirtAddr address, std::span<std::byte> bytes);

// Where a call of the function at `entry` goes now; `entry` itself when it has no site. Context: any.
[[nodiscard]] VirtAddr current_target(VirtAddr entry);

[[nodiscard]] usize call_site_count();
// A site's index in the table, below call_site_count(), and back. Context: any.
[[nodiscard]] u32 index_of(const arch::CallSite& site);
[[nodiscard]] arch::CallSite& call_site_at(u32 index);

}  // namespace graft::kernel
