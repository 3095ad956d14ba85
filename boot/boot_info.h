// BootInfo: what the boot loader or monitor told, in one form whatever the protocol. The parsers copy everything out of
// the loader's memory, so nothing of it must be kept but the modules' contents.
//
// Invariants after a parse: no range wraps, and none of memory is empty, while a module may be; texts are cut, never
// overrun (the flags say so).
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "arch/x86_64/memory_map.h"
#include "base/types.h"

namespace graft::boot {

inline constexpr usize kMaxMemoryEntries = 128;
inline constexpr usize kMaxModules = 16;
inline constexpr usize kMaxCommandLine = 2048;
inline constexpr usize kMaxModuleName = 128;

enum class MemoryType : u8 { usable, reserved, acpi_reclaimable, acpi_nvs, bad };

struct MemoryEntry {
    arch::PhysRange range;
    MemoryType type;
};

template <usize Capacity>
struct BootText {
    std::array<char, Capacity> characters{};
    usize length = 0;
    bool cut = false;

    std::string_view view() const { return {characters.data(), length}; }
    void assign(std::string_view text) {
        length = text.size() < Capacity ? text.size() : Capacity;
        cut = length < text.size();
        for (usize i = 0; i < length; ++i) characters[i] = text[i];
    }
};

struct Module {
    arch::PhysRange range;
    BootText<kMaxModuleName> name;  // the module's command line
};

struct BootInfo {
    enum class Protocol : u8 { multiboot2, pvh };
    Protocol protocol = Protocol::multiboot2;
    std::array<MemoryEntry, kMaxMemoryEntries> memory{};
    usize memory_count = 0;
    std::array<Module, kMaxModules> modules{};
    usize module_count = 0;
    bool entries_dropped = false;  // more memory entries or modules than fit
    BootText<kMaxCommandLine> command_line;
    PhysAddr rsdp{};  // 0: not told

    std::span<const MemoryEntry> memory_map() const { return {memory.data(), memory_count}; }
    std::span<const Module> module_list() const { return {modules.data(), module_count}; }
};

enum class BootFailure : u8 {
    unreadable,  // the structure can't be read where it is said to be
    bad_magic,   // not what this protocol passes
    bad_size,    // a size is smaller than its header, or larger than what holds it
    bad_tag,     // a tag's contents don't fit in it
    no_memory_map,
};

struct BootError {
    BootFailure failure;
    PhysAddr where;
    u64 found = 0;
    u64 expected = 0;
};

}  // namespace graft::boot
