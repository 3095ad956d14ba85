// Records of .eh_frame: a length of four bytes, which counts what follows it; an identifier, 0 for a common record
// (CIE), else the distance back from itself to the common record; the code's address and size. [LSB core, Exception
// Frames]
#include "tools/differ/frames.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "tools/differ/differ.h"

namespace graft::differ {
namespace {

constexpr u64 kLength = 4;
constexpr u64 kIdentifierAt = 4;
constexpr u64 kAddressAt = 8;
constexpr u64 kSmallestRecord = 16;

u32 word_at(std::span<const std::byte> bytes, u64 at) {
    u32 value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof(value));
    return value;
}

struct Record {
    u64 begin = 0;
    u64 end = 0;
    u32 identifier = 0;
};

// The record at `at`, or why there is none. A length of 0 ends the table.
PackResult<std::optional<Record>> record_at(const UnitObject& unit, std::span<const std::byte> bytes, u64 at) {
    auto bad = [&](std::string_view why) {
        return tools::pack_error(fmt::format("{}: .eh_frame+{:#x}: {}", unit.path(), at, why));
    };
    if (bytes.size() - at < kLength) return bad("cut off");
    u32 length = word_at(bytes, at);
    if (length == 0) return std::optional<Record>();
    if (length == 0xffffffff) return bad("records of 64 bits aren't understood");
    if (length < kSmallestRecord - kLength || length > bytes.size() - at - kLength)
        return bad("a length that can't be");
    return std::optional(Record{at, at + kLength + length, word_at(bytes, at + kIdentifierAt)});
}

}  // namespace

u64 FrameTable::add_common(std::span<const std::byte> record) {
    std::vector<std::byte> key(record.begin(), record.end());
    auto [known, fresh] = common_.emplace(std::move(key), bytes_.size());
    if (fresh) bytes_.insert(bytes_.end(), record.begin(), record.end());
    return known->second;
}

PackResult<void> FrameTable::add(const UnitObject& unit, const Item& function, u32 symbol) {
    auto bad = [&](std::string_view why) {
        return tools::pack_error(fmt::format("{}: '{}': {}", unit.path(), demangled(function.name), why));
    };
    const ObjectSection* table = unit.object().section(".eh_frame");
    if (!table || table->contents.empty()) return bad("no unwind table; compile with the image's flags");
    std::span<const std::byte> bytes(table->contents);
    bool found = false;
    for (u64 at = 0; at < bytes.size();) {
        auto record = GRAFT_TRY(record_at(unit, bytes, at));
        if (!record) break;
        at = record->end;
        std::vector<const ObjectRelocation*> inside;
        for (const ObjectRelocation& relocation : table->relocations) {
            if (relocation.offset >= record->begin && relocation.offset < record->end) inside.push_back(&relocation);
        }
        if (record->identifier == 0) continue;
        auto address = std::ranges::find(inside, record->begin + kAddressAt, &ObjectRelocation::offset);
        if (address == inside.end()) continue;
        const ObjectSymbol& target = unit.object().symbols[(*address)->symbol];
        u64 place = target.value + static_cast<u64>((*address)->addend);
        if (target.section != function.section || place < function.offset || place >= function.end()) continue;

        u64 common = record->begin + kIdentifierAt - record->identifier;
        if (record->identifier > record->begin + kIdentifierAt || common >= record->begin)
            return bad("its frame description has no common record");
        auto common_record = GRAFT_TRY(record_at(unit, bytes, common));
        bool refers = std::ranges::any_of(table->relocations, [&](const ObjectRelocation& relocation) {
            return relocation.offset >= common && common_record && relocation.offset < common_record->end;
        });
        if (!common_record || common_record->identifier != 0) return bad("its frame description has no common record");
        if (refers || inside.size() != 1) return bad("its frame description refers to more than its code");

        u64 common_place = add_common(bytes.subspan(common, common_record->end - common));
        u64 own = bytes_.size();
        bytes_.insert(bytes_.end(), bytes.begin() + static_cast<std::ptrdiff_t>(record->begin),
                      bytes.begin() + static_cast<std::ptrdiff_t>(record->end));
        u32 distance = static_cast<u32>(own + kIdentifierAt - common_place);
        std::memcpy(bytes_.data() + own + kIdentifierAt, &distance, sizeof(distance));
        relocations_.push_back({.offset = own + kAddressAt,
                                .type = (*address)->type,
                                .symbol = symbol,
                                .addend = static_cast<i64>(place - function.offset)});
        found = true;
    }
    if (!found) return bad("has no frame description");
    return {};
}

ObjectSection FrameTable::section() const {
    return {.name = ".eh_frame",
            .type = SHT_PROGBITS,
            .flags = SHF_ALLOC,
            .size = bytes_.size(),
            .alignment = 8,
            .entry_size = 0,
            .contents = bytes_,
            .relocations = relocations_};
}

}  // namespace graft::differ
