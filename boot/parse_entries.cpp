#include "boot/parse_entries.h"

namespace graft::boot {

namespace {

MemoryType memory_type(u32 type) {
    switch (type) {
        case 1:
            return MemoryType::usable;
        case 3:
            return MemoryType::acpi_reclaimable;
        case 4:
            return MemoryType::acpi_nvs;
        case 5:
            return MemoryType::bad;
        default:
            return MemoryType::reserved;
    }
}

}  // namespace

bool add_memory(BootInfo& info, u64 begin, u64 length, u32 type) {
    auto end = checked_add(begin, length);
    if (!end || length == 0) return true;
    if (info.memory_count == kMaxMemoryEntries) {
        info.entries_dropped = true;
        return false;
    }
    info.memory[info.memory_count++] = {{PhysAddr{begin}, PhysAddr{*end}}, memory_type(type)};
    return true;
}

Module* add_module(BootInfo& info, arch::PhysRange range) {
    if (info.module_count == kMaxModules) {
        info.entries_dropped = true;
        return nullptr;
    }
    Module& module = info.modules[info.module_count++];
    module.range = range;
    return &module;
}

}  // namespace graft::boot
