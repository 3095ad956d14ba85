#include "kernel/image.h"

extern "C" {
extern const char __image_begin[], __image_end[];
extern const char __init_text_begin[], __init_text_end[];
extern const char __text_begin[], __text_end[];
extern const char __rodata_begin[], __rodata_end[];
extern const char __data_begin[], __bss_end[];
extern const char __graft_tables_begin[], __graft_tables_end[];
extern const char __build_id_begin[], __build_id_end[];
extern void (*const __init_array_begin[])();
extern void (*const __init_array_end[])();
}

namespace graft::kernel {

AddressRange image_range(ImageSection section) {
    switch (section) {
        case ImageSection::whole:
            return {VirtAddr(__image_begin), VirtAddr(__image_end)};
        case ImageSection::init_text:
            return {VirtAddr(__init_text_begin), VirtAddr(__init_text_end)};
        case ImageSection::text:
            return {VirtAddr(__text_begin), VirtAddr(__text_end)};
        case ImageSection::rodata:
            return {VirtAddr(__rodata_begin), VirtAddr(__rodata_end)};
        case ImageSection::data:
            return {VirtAddr(__data_begin), VirtAddr(__bss_end)};
        case ImageSection::tables:
            return {VirtAddr(__graft_tables_begin), VirtAddr(__graft_tables_end)};
        case ImageSection::build_id:
            return {VirtAddr(__build_id_begin), VirtAddr(__build_id_end)};
    }
    return {};
}

std::span<const std::byte> image_section(ImageSection section) {
    AddressRange range = image_range(section);
    return {range.begin.as<const std::byte>(), range.size()};
}

void run_constructors() {
    for (auto* constructor = __init_array_begin; constructor != __init_array_end; ++constructor) (*constructor)();
}

}  // namespace graft::kernel
