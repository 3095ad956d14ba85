// The image's sections, as the linker placed them (linker.ld). Context: any.
#pragma once

#include <span>

#include "base/types.h"

namespace graft::kernel {

enum class ImageSection : u8 {
    whole,      // from __image_begin: what offsets in the tables count from
    init_text,  // code that only runs while the image boots: gone afterwards (kernel/init_text.h)
    text,
    rodata,
    data,  // .data and .bss
    tables,
    build_id,
};

[[nodiscard]] AddressRange image_range(ImageSection section);
[[nodiscard]] std::span<const std::byte> image_section(ImageSection section);

// Runs the constructors of static objects, in link order. Context: boot, once, before any application code.
void run_constructors();

}  // namespace graft::kernel
