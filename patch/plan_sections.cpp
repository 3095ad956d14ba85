// Which sections of the object are loaded, and where they will lie.
#include "formats/klp.h"
#include "patch/destructors.h"
#include "patch/plan.h"

namespace graft::patch {

namespace {

constexpr u64 kKnownFlags = elf::kFlagWrite | elf::kFlagAlloc | elf::kFlagExecute | elf::kFlagMerge |
                            elf::kFlagStrings | elf::kFlagInfoLink | elf::kFlagLinkOrder | elf::kFlagGroup;
constexpr u64 kMaxAlignment = 4096;

// ".data" and ".data.x" are of the kind ".data", ".database" isn't.
bool is_kind(std::string_view name, std::string_view kind) {
    if (!name.starts_with(kind)) return false;
    return name.size() == kind.size() || name[kind.size()] == '.';
}

bool is_frames(std::string_view name) {
    return name == ".eh_frame";
}

// What the section means, by name, type and flags; `none` when nobody knows.
Area area_of(const elf::Section& section, std::string_view name) {
    bool writable = (section.flags & elf::kFlagWrite) != 0;
    bool executable = (section.flags & elf::kFlagExecute) != 0;
    bool has_bytes = section.type == elf::kSectionProgram;
    if (is_kind(name, ".text")) return has_bytes && executable ? Area::text : Area::none;
    if (executable) return Area::none;
    if (is_frames(name))
        return (has_bytes || section.type == elf::kSectionUnwind) && !writable ? Area::rodata : Area::none;
    if (name == ".init_array") return section.type == elf::kSectionInitArray ? Area::rodata : Area::none;
    if (is_kind(name, ".rodata")) return has_bytes && !writable ? Area::rodata : Area::none;
    if (is_kind(name, ".data.rel.ro")) return has_bytes ? Area::rodata : Area::none;
    if (is_kind(name, ".data")) return has_bytes && writable ? Area::data : Area::none;
    if (is_kind(name, ".bss")) return section.type == elf::kSectionZeros && writable ? Area::data : Area::none;
    return Area::none;
}

}  // namespace

RefusalResult<void> Plan::place_sections(Machine& machine) {
    if (!sections_.create(machine, object_.section_count())) return refuse(RefusalCode::no_memory);
    u32 frames = 0;
    for (u32 i = 0; i < object_.section_count(); ++i) {
        GRAFT_CHECK(place(i));
        if (sections_[i].area != Area::none && is_frames(object_.section_name(object_.section(i)))) {
            frames_section_ = i;
            ++frames;
        }
    }
    bool has_code = size(Area::text) != 0;
    if (frames > 1 || (has_code && frames == 0)) return refuse(RefusalCode::no_frames, {}, 0, frames, 1);
    return {};
}

RefusalResult<void> Plan::place(u32 index) {
    auto section = object_.section(index);
    if (section.type == elf::kSectionNull || (section.flags & elf::kFlagAlloc) == 0) return {};
    if (section.type == elf::kSectionNote) return {};
    auto name = object_.section_name(section);
    if ((section.flags & elf::kFlagTls) != 0) return refuse(RefusalCode::tls_section, name, index);
    constexpr u64 kWriteExecute = elf::kFlagWrite | elf::kFlagExecute;
    if ((section.flags & ~kKnownFlags) != 0 || (section.flags & kWriteExecute) == kWriteExecute) {
        return refuse(RefusalCode::bad_section_flags, name, index, section.flags);
    }
    u64 alignment = section.alignment == 0 ? 1 : section.alignment;
    if ((alignment & (alignment - 1)) != 0 || alignment > kMaxAlignment) {
        return refuse(RefusalCode::bad_alignment, name, index, alignment);
    }
    Area area = area_of(section, name);
    if (area == Area::none) {
        if (section.size == 0) return {};
        return refuse(RefusalCode::unknown_section, name, index, section.type);
    }
    if (name == ".init_array" && section.size % sizeof(u64) != 0) {
        return refuse(RefusalCode::bad_init_array, name, index, section.size);
    }

    u64& cursor = sizes_[static_cast<usize>(area)];
    u64 offset = (cursor + alignment - 1) & ~(alignment - 1);  // cursor is at most kMaxLoadedSize
    u64 others = sizes_[1] + sizes_[2] + sizes_[3] - cursor;
    auto end = checked_add<u64>(offset, section.size);
    if (!end || *end > kMaxLoadedSize - others) {
        return refuse(RefusalCode::loaded_too_large, name, 0, end.value_or(section.size), kMaxLoadedSize - others);
    }
    sections_[index] = {area, offset};
    cursor = *end;
    return {};
}

}  // namespace graft::patch
