#include "boot/parse_multiboot2.h"

#include <cstring>

#include "base/reader.h"
#include "boot/parse_entries.h"

namespace graft::boot {

namespace {

// [mb2 §3.6]
enum Tag : u32 {
    kTagEnd = 0,
    kTagCommandLine = 1,
    kTagModule = 3,
    kTagMemoryMap = 6,
    kTagRsdpOld = 14,
    kTagRsdpNew = 15,
};

constexpr usize kStructureHeader = 8;
constexpr usize kTagHeader = 8;

class Parser {
public:
    Parser(std::span<const std::byte> bytes, PhysAddr where, BootInfo& info)
        : bytes_(bytes), where_(where), info_(info) {}

    Result<void, BootError> parse() {
        Reader reader(bytes_);
        u32 size = reader.read<u32>();
        reader.skip(4);
        if (!reader.ok() || size < kStructureHeader || size > bytes_.size() || size > kMaxMultiboot2Size)
            return fail(BootError{BootFailure::bad_size, where_, size, bytes_.size()});
        bytes_ = bytes_.first(size);
        for (usize at = kStructureHeader; bytes_.size() - at >= kTagHeader;) {
            Reader header(bytes_.subspan(at, kTagHeader));
            u32 type = header.read<u32>();
            u32 length = header.read<u32>();
            if (length < kTagHeader || length > bytes_.size() - at)
                return fail(BootError{BootFailure::bad_size, where_ + at, length, bytes_.size() - at});
            if (type == kTagEnd) break;
            GRAFT_CHECK(parse_tag(type, bytes_.subspan(at + kTagHeader, length - kTagHeader), at + kTagHeader));
            usize next = at + ((usize{length} + 7) & ~usize{7});  // tags are 8-aligned
            if (next > bytes_.size()) break;
            at = next;
        }
        if (info_.memory_count == 0) return fail(BootError{BootFailure::no_memory_map, where_});
        return {};
    }

private:
    Result<void, BootError> parse_tag(u32 type, std::span<const std::byte> body, usize at) {
        switch (type) {
            case kTagCommandLine:
                info_.command_line.assign(text_of(body));
                return {};
            case kTagModule:
                return parse_module(body, at);
            case kTagMemoryMap:
                return parse_memory_map(body, at);
            // The newer copy wins, in whatever order they come.
            case kTagRsdpOld:
                if (!info_.rsdp) info_.rsdp = where_ + at;
                return {};
            case kTagRsdpNew:
                info_.rsdp = where_ + at;
                return {};
            default:
                return {};
        }
    }

    // NUL-terminated, or as long as its tag.
    static std::string_view text_of(std::span<const std::byte> body) {
        auto* text = reinterpret_cast<const char*>(body.data());
        usize length = 0;
        while (length < body.size() && text[length] != '\0') ++length;
        return {text, length};
    }

    Result<void, BootError> parse_module(std::span<const std::byte> body, usize at) {
        Reader reader(body);
        u32 begin = reader.read<u32>();
        u32 end = reader.read<u32>();
        if (!reader.ok() || end < begin) return fail(BootError{BootFailure::bad_tag, where_ + at, end, begin});
        Module* module = add_module(info_, {PhysAddr{begin}, PhysAddr{end}});
        if (module) module->name.assign(text_of(body.subspan(reader.position())));
        return {};
    }

    Result<void, BootError> parse_memory_map(std::span<const std::byte> body, usize at) {
        constexpr u32 kEntrySize = 24;
        Reader reader(body);
        u32 entry_size = reader.read<u32>();
        reader.skip(4);
        if (!reader.ok() || entry_size < kEntrySize || entry_size % 8 != 0)
            return fail(BootError{BootFailure::bad_tag, where_ + at, entry_size, kEntrySize});
        while (reader.remaining() >= entry_size) {
            Reader entry(reader.take(entry_size));
            u64 begin = entry.read<u64>();
            u64 length = entry.read<u64>();
            u32 type = entry.read<u32>();
            if (!add_memory(info_, begin, length, type)) break;
        }
        return {};
    }

    std::span<const std::byte> bytes_;
    PhysAddr where_;
    BootInfo& info_;
};

}  // namespace

Result<void, BootError> parse_multiboot2(std::span<const std::byte> bytes, PhysAddr where, BootInfo& info) {
    info.protocol = BootInfo::Protocol::multiboot2;
    return Parser(bytes, where, info).parse();
}

}  // namespace graft::boot
