#include "arch/x86_64/pure/eh_frame.h"

#include <algorithm>

#include "arch/x86_64/pure/cfi.h"
#include "arch/x86_64/pure/leb128.h"
#include "base/reader.h"

namespace graft::arch {

namespace {

constexpr u32 kLengthBytes = 4;
constexpr u32 kExtendedLength = 0xffffffff;  // the 64-bit format follows [dwarf §7.4]
constexpr u8 kReturnColumn = 16;             // rip [psABI §3.6.2]

// Pointer encodings [lsb §10.5.1].
constexpr u8 kFormatMask = 0x0f;
constexpr u8 kApplicationMask = 0x70;
constexpr u8 kIndirect = 0x80;
constexpr u8 kPcRelative = 0x10;
constexpr u8 kAbsolute = 0x00;

enum class PointerFormat : u8 { absptr = 0x00, udata4 = 0x03, udata8 = 0x04, sdata4 = 0x0b, sdata8 = 0x0c };

struct Entry {
    u32 offset;  // of the length field
    u32 id_offset;
    u32 id;
    u32 end;
};

struct Cie {
    u32 code_alignment = 1;
    i32 data_alignment = 1;
    u8 encoding = 0;
    bool has_augmentation_data = false;
    bool signal_frame = false;
    u32 program_offset = 0;
    std::span<const std::byte> program;
};

std::unexpected<FrameError> error(FrameFault fault, u64 offset, u64 expected, u64 found) {
    return std::unexpected(FrameError{fault, static_cast<u32>(offset), expected, found});
}

u32 pointer_bytes(u8 encoding) {
    switch (static_cast<PointerFormat>(encoding & kFormatMask)) {
        case PointerFormat::udata4:
        case PointerFormat::sdata4:
            return 4;
        case PointerFormat::absptr:
        case PointerFormat::udata8:
        case PointerFormat::sdata8:
            return 8;
    }
    return 0;
}

bool is_supported(u8 encoding) {
    u8 application = encoding & kApplicationMask;
    if ((encoding & kIndirect) || (application != kAbsolute && application != kPcRelative)) return false;
    return pointer_bytes(encoding) != 0;
}

// The value of a pointer field without its application.
u64 read_pointer(Reader& reader, u8 encoding) {
    switch (static_cast<PointerFormat>(encoding & kFormatMask)) {
        case PointerFormat::udata4:
            return reader.read<u32>();
        case PointerFormat::sdata4:
            return static_cast<u64>(i64{reader.read<i32>()});
        case PointerFormat::absptr:
        case PointerFormat::udata8:
        case PointerFormat::sdata8:
            return reader.read<u64>();
    }
    return 0;
}

// The entry at `offset`; nothing when the table ends there: at its last byte, or with a terminator.
Result<std::optional<Entry>, FrameError> read_entry(FrameTable table, u64 offset) {
    if (table.bytes.size() > kMaxTableSize) return error(FrameFault::oversized, 0, kMaxTableSize, table.bytes.size());
    if (offset == table.bytes.size()) return std::nullopt;
    Reader reader(table.bytes);
    reader.seek(offset);
    auto length = reader.read<u32>();
    if (!reader.ok()) return error(FrameFault::truncated, offset, kLengthBytes, table.bytes.size() - offset);
    if (length == 0) {
        // The linker pads what follows.
        for (u64 rest = offset + kLengthBytes; rest < table.bytes.size(); ++rest)
            if (table.bytes[rest] != std::byte{0})
                return error(FrameFault::entry_after_terminator, rest, 0, static_cast<u64>(table.bytes[rest]));
        return std::nullopt;
    }
    if (length == kExtendedLength || length > kMaxFdeSize)
        return error(FrameFault::oversized, offset, kMaxFdeSize, length);
    if (length > reader.remaining()) return error(FrameFault::truncated, offset, length, reader.remaining());
    if (length < sizeof(u32)) return error(FrameFault::truncated, offset, sizeof(u32), length);
    u32 end = static_cast<u32>(offset) + kLengthBytes + length;
    auto id_offset = static_cast<u32>(reader.position());
    return Entry{static_cast<u32>(offset), id_offset, reader.read<u32>(), end};
}

// "", "zR" and "zRS"; the text ends with a zero byte.
Result<void, FrameError> read_augmentation(Reader& reader, u32 base, Cie& cie) {
    constexpr std::string_view kSupported = "zRS";
    u32 offset = base + static_cast<u32>(reader.position());
    for (usize i = 0;; ++i) {
        u8 letter = reader.read<u8>();
        if (!reader.ok()) return error(FrameFault::truncated, offset, i + 1, i);
        if (letter == 0) {
            if (i == 1) return error(FrameFault::unsupported_augmentation, offset, 'R', 0);
            cie.has_augmentation_data = i != 0;
            cie.signal_frame = i == kSupported.size();
            return {};
        }
        u8 supported = i < kSupported.size() ? static_cast<u8>(kSupported[i]) : u8{0};
        if (letter != supported) return error(FrameFault::unsupported_augmentation, offset + i, supported, letter);
    }
}

Result<Cie, FrameError> parse_cie(FrameTable table, const Entry& entry) {
    if (entry.end - entry.offset > kMaxCieSize)
        return error(FrameFault::oversized, entry.offset, kMaxCieSize, entry.end - entry.offset);
    u32 base = entry.id_offset + sizeof(u32);
    Reader reader(table.bytes.subspan(base, entry.end - base));
    Cie cie;
    u8 version = reader.read<u8>();
    if (!reader.ok()) return error(FrameFault::truncated, base, 1, 0);
    if (version != 1) return error(FrameFault::unsupported_version, base, 1, version);
    GRAFT_CHECK(read_augmentation(reader, base, cie));

    u32 factors = base + static_cast<u32>(reader.position());
    auto code_alignment = read_uleb(reader);
    auto data_alignment = read_sleb(reader);
    u8 return_column = reader.read<u8>();
    if (!code_alignment || !data_alignment || !reader.ok())
        return error(FrameFault::truncated, factors, 3, reader.remaining());
    // Factors are multiplied with 32-bit numbers.
    if (*code_alignment == 0 || *code_alignment > 255)
        return error(FrameFault::bad_alignment_factor, factors, 1, *code_alignment);
    if (*data_alignment == 0 || *data_alignment < -128 || *data_alignment > 127)
        return error(FrameFault::bad_alignment_factor, factors, static_cast<u64>(-8),
                     static_cast<u64>(i64{*data_alignment}));
    if (return_column != kReturnColumn)
        return error(FrameFault::unsupported_return_column, base + reader.position() - 1, kReturnColumn, return_column);
    cie.code_alignment = *code_alignment;
    cie.data_alignment = *data_alignment;

    if (cie.has_augmentation_data) {
        u32 at = base + static_cast<u32>(reader.position());
        auto size = read_uleb(reader);
        cie.encoding = reader.read<u8>();
        if (!size || !reader.ok()) return error(FrameFault::truncated, at, 2, reader.remaining());
        if (*size != 1) return error(FrameFault::unsupported_augmentation, at, 1, *size);
        if (!is_supported(cie.encoding)) return error(FrameFault::unsupported_encoding, at + 1, 0x1b, cie.encoding);
    }
    cie.program_offset = base + static_cast<u32>(reader.position());
    cie.program = reader.take(reader.remaining());
    return cie;
}

Result<Cie, FrameError> find_cie(FrameTable table, const Entry& fde) {
    if (fde.id > fde.id_offset) return error(FrameFault::bad_cie_reference, fde.id_offset, fde.id_offset, fde.id);
    u32 offset = fde.id_offset - fde.id;
    auto entry = GRAFT_TRY(read_entry(table, offset));
    if (!entry || entry->id != 0) return error(FrameFault::bad_cie_reference, fde.id_offset, 0, offset);
    return parse_cie(table, *entry);
}

Result<FdeView, FrameError> parse_fde_entry(FrameTable table, const Entry& entry) {
    Cie cie = GRAFT_TRY(find_cie(table, entry));
    u32 base = entry.id_offset + sizeof(u32);
    Reader reader(table.bytes.subspan(base, entry.end - base));
    u64 begin = read_pointer(reader, cie.encoding);
    if ((cie.encoding & kApplicationMask) == kPcRelative) begin += table.at.value + base;

    FdeView fde;
    fde.offset = entry.offset;
    fde.size_field = base + static_cast<u32>(reader.position());
    fde.size_field_bytes = static_cast<u8>(pointer_bytes(cie.encoding));
    // A size is never negative: its field is read unsigned, in the format's width.
    u64 size = fde.size_field_bytes == 4 ? reader.read<u32>() : reader.read<u64>();
    if (!reader.ok()) return error(FrameFault::truncated, base, u64{2} * fde.size_field_bytes, entry.end - base);
    if (!checked_add<u64>(begin, size)) return error(FrameFault::range_wraps, base, ~u64{0} - begin, size);
    fde.range = AddressRange::of(VirtAddr(begin), size);

    if (cie.has_augmentation_data) {
        u32 at = base + static_cast<u32>(reader.position());
        auto augmentation = read_uleb(reader);
        if (!augmentation) return error(FrameFault::truncated, at, 1, 0);
        if (*augmentation != 0) return error(FrameFault::unsupported_augmentation, at, 0, *augmentation);
    }
    fde.signal_frame = cie.signal_frame;
    fde.code_alignment = cie.code_alignment;
    fde.data_alignment = cie.data_alignment;
    fde.common_offset = cie.program_offset;
    fde.common_program = cie.program;
    fde.program_offset = base + static_cast<u32>(reader.position());
    fde.program = reader.take(reader.remaining());
    return fde;
}

bool is_allowed(std::span<const AddressRange> allowed_code, AddressRange range) {
    return std::any_of(allowed_code.begin(), allowed_code.end(),
                       [range](const AddressRange& allowed) { return allowed.contains(range); });
}

}  // namespace

Result<FdeView, FrameError> parse_fde(FrameTable table, u32 offset) {
    if (offset > table.bytes.size()) return error(FrameFault::truncated, offset, table.bytes.size(), offset);
    auto entry = GRAFT_TRY(read_entry(table, offset));
    if (!entry || entry->id == 0) return error(FrameFault::bad_cie_reference, offset, 1, 0);
    return parse_fde_entry(table, *entry);
}

Result<std::optional<FdeView>, FrameError> FdeCursor::next() {
    auto result = next_entry();
    if (!result) position_ = table_.bytes.size();
    return result;
}

Result<std::optional<FdeView>, FrameError> FdeCursor::next_entry() {
    while (true) {
        auto entry = GRAFT_TRY(read_entry(table_, position_));
        if (!entry) {
            position_ = table_.bytes.size();
            return std::nullopt;
        }
        position_ = entry->end;
        if (entry->id != 0) return GRAFT_TRY(parse_fde_entry(table_, *entry));
        // A CIE that no function names is read all the same: nothing in a table is passed over unread.
        (void)GRAFT_TRY(parse_cie(table_, *entry));
    }
}

Result<usize, FrameError> count_functions(FrameTable table) {
    FdeCursor cursor(table);
    usize count = 0;
    while (auto fde = GRAFT_TRY(cursor.next()))
        if (!fde->range.empty()) ++count;
    return count;
}

Result<usize, FrameError> build_index(FrameTable table, std::span<FrameIndexEntry> index) {
    FdeCursor cursor(table);
    usize count = 0;
    while (auto fde = GRAFT_TRY(cursor.next())) {
        if (fde->range.empty()) continue;
        if (count == index.size()) return error(FrameFault::index_full, fde->offset, index.size(), count + 1);
        if (fde->range.size() > ~u32{0})
            return error(FrameFault::number_out_of_range, fde->size_field, ~u32{0}, fde->range.size());
        index[count++] = {fde->range.begin, static_cast<u32>(fde->range.size()), fde->offset};
    }
    auto entries = index.first(count);
    std::sort(entries.begin(), entries.end(),
              [](const FrameIndexEntry& left, const FrameIndexEntry& right) { return left.begin < right.begin; });
    for (usize i = 1; i < count; ++i)
        if (entries[i].begin < entries[i - 1].range().end)
            return error(FrameFault::overlapping_functions, entries[i].fde_offset, entries[i - 1].range().end.value,
                         entries[i].begin.value);
    return count;
}

std::optional<FrameIndexEntry> find_in_index(std::span<const FrameIndexEntry> index, VirtAddr pc) {
    auto after = std::upper_bound(index.begin(), index.end(), pc,
                                  [](VirtAddr address, const FrameIndexEntry& entry) { return address < entry.begin; });
    if (after == index.begin()) return std::nullopt;
    const FrameIndexEntry& entry = *(after - 1);
    if (!entry.range().contains(pc)) return std::nullopt;
    return entry;
}

Result<usize, FrameError> verify_frames(FrameTable table, std::span<const AddressRange> allowed_code, TableOwner owner,
                                        std::span<FrameIndexEntry> index) {
    FdeCursor cursor(table);
    while (auto fde = GRAFT_TRY(cursor.next())) {
        if (fde->range.empty()) continue;
        if (!is_allowed(allowed_code, fde->range))
            return error(FrameFault::outside_allowed_code, fde->offset,
                         allowed_code.empty() ? 0 : allowed_code.front().begin.value, fde->range.begin.value);
        if (fde->signal_frame && owner == TableOwner::patch)
            return error(FrameFault::signal_frame_refused, fde->offset, 0, 1);
        GRAFT_CHECK(check_program(*fde, owner));
    }
    return build_index(table, index);
}

Result<void, FrameError> check_covered(std::span<const FrameIndexEntry> index, AddressRange function) {
    auto entry = find_in_index(index, function.begin);
    if (!entry) return error(FrameFault::function_not_covered, 0, function.begin.value, 0);
    if (!entry->range().contains(function))
        return error(FrameFault::function_not_covered, entry->fde_offset, function.end.value, entry->range().end.value);
    return {};
}

std::string_view name_of(FrameFault fault) {
    switch (fault) {
        case FrameFault::truncated:
            return "truncated entry";
        case FrameFault::oversized:
            return "entry or table too large";
        case FrameFault::bad_cie_reference:
            return "bad reference to a common entry";
        case FrameFault::unsupported_version:
            return "unsupported version";
        case FrameFault::unsupported_augmentation:
            return "unsupported augmentation";
        case FrameFault::unsupported_encoding:
            return "unsupported pointer encoding";
        case FrameFault::unsupported_return_column:
            return "unsupported return address column";
        case FrameFault::bad_alignment_factor:
            return "bad alignment factor";
        case FrameFault::number_out_of_range:
            return "number out of range";
        case FrameFault::unknown_operation:
            return "unknown operation";
        case FrameFault::unknown_register:
            return "unknown register";
        case FrameFault::unsupported_expression:
            return "unsupported expression";
        case FrameFault::unbalanced_state:
            return "unbalanced remember and restore";
        case FrameFault::no_cfa:
            return "row without a frame address";
        case FrameFault::no_return_address:
            return "row without a return address";
        case FrameFault::row_outside_function:
            return "row outside its function";
        case FrameFault::entry_after_terminator:
            return "entry after the terminator";
        case FrameFault::range_wraps:
            return "function wraps around the address space";
        case FrameFault::overlapping_functions:
            return "overlapping functions";
        case FrameFault::outside_allowed_code:
            return "function outside the table's own code";
        case FrameFault::signal_frame_refused:
            return "interrupt frame not allowed";
        case FrameFault::function_not_covered:
            return "function without frame information";
        case FrameFault::index_full:
            return "more functions than announced";
    }
    return "unknown fault";
}

}  // namespace graft::arch
