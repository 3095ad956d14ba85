#include "boot/parse_pvh.h"

#include "boot/parse_entries.h"

namespace graft::boot {

namespace {

// struct hvm_start_info, all versions; fields from version 1 on are zero before.
struct StartInfo {
    u32 magic;
    u32 version;
    u32 flags;
    u32 module_count;
    u64 modules;
    u64 command_line;
    u64 rsdp;
    u64 memory_map;    // version 1
    u32 memory_count;  // version 1
    u32 reserved;
};
static_assert(sizeof(StartInfo) == 56);
constexpr usize kVersion0Size = 40;

struct ModuleEntry {
    u64 address;
    u64 size;
    u64 command_line;
    u64 reserved;
};

struct MapEntry {
    u64 address;
    u64 size;
    u32 type;  // as in the BIOS's E820 map
    u32 reserved;
};

class Parser {
public:
    Parser(const arch::MemoryReader& memory, BootInfo& info) : memory_(memory), info_(info) {}

    Result<void, BootError> parse(PhysAddr where) {
        StartInfo start{};
        auto bytes = std::as_writable_bytes(std::span(&start, 1));
        if (!memory_.read(where, bytes.first(kVersion0Size))) return fail(BootError{BootFailure::unreadable, where});
        if (start.magic != kPvhMagic) return fail(BootError{BootFailure::bad_magic, where, start.magic, kPvhMagic});
        if (start.version >= 1 && !memory_.read(where, bytes)) return fail(BootError{BootFailure::unreadable, where});
        info_.rsdp = PhysAddr{start.rsdp};
        if (start.command_line) GRAFT_CHECK(read_text(PhysAddr{start.command_line}, info_.command_line));
        GRAFT_CHECK(read_modules(start));
        return read_memory_map(start);
    }

private:
    // Nothing tells how long a text is: byte by byte to its end, or to what is kept of it.
    template <usize Capacity>
    Result<void, BootError> read_text(PhysAddr at, BootText<Capacity>& text) {
        for (text.length = 0; text.length < Capacity; ++text.length) {
            char& character = text.characters[text.length];
            auto where = checked_add<u64>(at.value, text.length);
            if (!where || !memory_.read(PhysAddr{*where}, std::as_writable_bytes(std::span(&character, 1))))
                return fail(BootError{BootFailure::unreadable, at});
            if (character == '\0') return {};
        }
        text.cut = true;
        return {};
    }

    template <typename T>
    Result<T, BootError> read_entry(u64 table, u64 index) {
        auto at = checked_add<u64>(table, index * sizeof(T));
        T entry{};
        if (!at || !memory_.read(PhysAddr{*at}, std::as_writable_bytes(std::span(&entry, 1))))
            return fail(BootError{BootFailure::unreadable, PhysAddr{table}, index});
        return entry;
    }

    Result<void, BootError> read_modules(const StartInfo& start) {
        for (u32 index = 0; index < start.module_count; ++index) {
            auto entry = GRAFT_TRY(read_entry<ModuleEntry>(start.modules, index));
            auto end = checked_add(entry.address, entry.size);
            if (!end) return fail(BootError{BootFailure::bad_tag, PhysAddr{start.modules}, entry.size, 0});
            Module* module = add_module(info_, {PhysAddr{entry.address}, PhysAddr{*end}});
            if (!module) break;
            if (entry.command_line) GRAFT_CHECK(read_text(PhysAddr{entry.command_line}, module->name));
        }
        return {};
    }

    Result<void, BootError> read_memory_map(const StartInfo& start) {
        for (u32 index = 0; index < start.memory_count; ++index) {
            auto entry = GRAFT_TRY(read_entry<MapEntry>(start.memory_map, index));
            if (!add_memory(info_, entry.address, entry.size, entry.type)) break;
        }
        if (info_.memory_count == 0) return fail(BootError{BootFailure::no_memory_map, PhysAddr{start.memory_map}});
        return {};
    }

    const arch::MemoryReader& memory_;
    BootInfo& info_;
};

}  // namespace

Result<void, BootError> parse_pvh(const arch::MemoryReader& memory, PhysAddr start_info, BootInfo& info) {
    info.protocol = BootInfo::Protocol::pvh;
    return Parser(memory, info).parse(start_info);
}

}  // namespace graft::boot
