// CodeMap of the running system: what the unwinder and the symboliser know of code. The image's is in its tables;
// patches and trampolines come and go.
//
// Regions of patch code are in a list that is read without a lock, in any context, with interrupts off, and changed
// under the registry's lock: an added region is complete before it is linked; a removed one is freed after all
// processors have passed a point with interrupts on.
#pragma once

#include <span>

#include "arch/x86_64/pure/unwind.h"
#include "base/text.h"
#include "base/types.h"
#include "formats/image_tables.h"
#include "patch/machine.h"

namespace graft::kernel {

// Opens and checks the image's tables. Panics when they are damaged: the image isn't what was built. Context: boot,
// once.
void init_code_map();

// Context: any, after init_code_map().
[[nodiscard]] const formats::ImageTables& image_tables();
[[nodiscard]] const arch::CodeMap& code_map();

// The image's code that only ran at boot is no code any more. Returns when nobody looks at it. Context: task.
void forget_init_text();

// Adds the code of a patch with its unwind table, which has been verified; `code` is borrowed until remove_code().
// False when there is no memory. Lock: the registry's.
[[nodiscard]] bool add_patch_code(const patch::PatchCode& code);
// Adds generated trampolines: known frames, without a table. Lock: the registry's.
[[nodiscard]] bool add_trampoline_code(AddressRange text);
// Returns when nobody looks at the region any more. Lock: the registry's. Context: task.
void remove_code(AddressRange text);
// Whether a fault in a patch's code is contained (kernel/fault.h); not at first. Lock: the registry's.
void watch_code(AddressRange text, bool is_watched);
// Context: any, with interrupts off.
[[nodiscard]] bool is_watched_code(VirtAddr pc);
[[nodiscard]] bool is_patch_code(VirtAddr pc);
// Grows whenever code is removed: what was remembered about code before is void. Context: any.
[[nodiscard]] u64 code_generation();

// Regions of patch and trampoline code that are known now. Context: any.
[[nodiscard]] u64 code_region_count();

struct CodeName {
    std::string_view function;  // linkage name; empty when unknown
    std::string_view display;   // for people
    std::string_view patch;     // empty for the image's own code
    u64 offset = 0;
};
// Context: interrupts off, or the caller holds the registry's lock: a patch's names go with it.
[[nodiscard]] CodeName name_of_code(VirtAddr pc);

// "function+0x12 [patch]", or the bare address. Context: any.
void append_code_name(TextBuffer& out, VirtAddr pc);

}  // namespace graft::kernel
