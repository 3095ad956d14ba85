#include "formats/image_tables.h"

#include <cstring>

#include "base/assert.h"

namespace graft::formats {

using Reason = ImageTablesError::Reason;

template <typename T>
T ImageTables::load(usize position) const {
    GRAFT_ASSERT(position <= bytes_.size() && bytes_.size() - position >= sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + position, sizeof(T));
    return value;
}

Result<ImageTables, ImageTablesError> ImageTables::open(std::span<const std::byte> section) {
    if (section.size() < sizeof(ImageTablesHeader))
        return fail(ImageTablesError{Reason::too_short, 0, section.size(), sizeof(ImageTablesHeader)});
    ImageTablesHeader header;
    std::memcpy(&header, section.data(), sizeof(header));
    if (header.magic != kImageTablesMagic)
        return fail(ImageTablesError{Reason::bad_magic, 0, header.magic, kImageTablesMagic});
    if (header.version != kImageTablesVersion)
        return fail(ImageTablesError{Reason::bad_version, 4, header.version, kImageTablesVersion});
    if (header.total_size < sizeof(header) || header.total_size > section.size())
        return fail(ImageTablesError{Reason::bad_size, 8, header.total_size, section.size()});

    ImageTables tables(section.first(header.total_size), header);
    GRAFT_CHECK(tables.check_arrays());
    GRAFT_CHECK(tables.check_symbols());
    GRAFT_CHECK(tables.check_names());
    GRAFT_CHECK(tables.check_frames());
    return tables;
}

Result<void, ImageTablesError> ImageTables::check_arrays() const {
    struct Array {
        u64 at;
        u64 count;
        u64 entry_size;
    };
    const Array arrays[] = {
        {header_.symbols_at, header_.symbol_count, sizeof(ImageSymbol)},
        {header_.name_order_at, header_.symbol_count, sizeof(u32)},
        {header_.frames_at, header_.frame_count, sizeof(ImageFrame)},
        {header_.strings_at, header_.strings_size, 1},
    };
    for (const Array& array : arrays) {
        u64 end = array.at + array.count * array.entry_size;  // 32-bit factors: no wrap
        bool aligned = array.entry_size == 1 || array.at % 4 == 0;
        if (!aligned || array.at < sizeof(header_) || end > bytes_.size())
            return fail(ImageTablesError{Reason::array_outside, array.at, end, bytes_.size()});
    }
    bool terminated = header_.strings_size != 0 && load<char>(header_.strings_at) == 0 &&
                      load<char>(header_.strings_at + usize{header_.strings_size} - 1) == 0;
    if (!terminated) return fail(ImageTablesError{Reason::name_outside, header_.strings_at, 1, 0});
    if (header_.text_begin > header_.text_end || header_.image_base + header_.text_end < header_.image_base)
        return fail(ImageTablesError{Reason::array_outside, 24, header_.text_begin, header_.text_end});
    return {};
}

Result<void, ImageTablesError> ImageTables::check_symbols() const {
    u32 previous = 0;
    for (u32 i = 0; i < header_.symbol_count; ++i) {
        ImageSymbol entry = symbol(i);
        if (entry.offset < previous) return fail(ImageTablesError{Reason::symbols_unsorted, i, entry.offset, previous});
        previous = entry.offset;
        if (entry.name >= header_.strings_size || entry.display >= header_.strings_size)
            return fail(ImageTablesError{Reason::name_outside, i, entry.name, header_.strings_size});
        bool known =
            entry.type == SymbolType::function || entry.type == SymbolType::object || entry.type == SymbolType::mark;
        if (!known || entry.offset + entry.size < entry.offset)
            return fail(ImageTablesError{Reason::bad_symbol, i, static_cast<u8>(entry.type), entry.size});
        if (entry.parent >= header_.symbol_count)
            return fail(ImageTablesError{Reason::bad_parent, i, entry.parent, header_.symbol_count});
        ImageSymbol parent = symbol(entry.parent);
        bool right = entry.has(kSymbolChild) ? parent.type == SymbolType::function && !parent.has(kSymbolChild)
                                             : entry.parent == i;
        if (!right) return fail(ImageTablesError{Reason::bad_parent, i, entry.parent, i});
    }
    return {};
}

Result<void, ImageTablesError> ImageTables::check_names() const {
    // Strictly ascending by (name, index) and all indices in range: a permutation needs no further look.
    for (u32 rank = 0; rank < header_.symbol_count; ++rank) {
        u32 index = name_order(rank);
        if (index >= header_.symbol_count)
            return fail(ImageTablesError{Reason::names_unsorted, rank, index, header_.symbol_count});
        if (rank == 0) continue;
        u32 before = name_order(rank - 1);
        int order = name(symbol(before)).compare(name(symbol(index)));
        if (order > 0 || (order == 0 && before >= index))
            return fail(ImageTablesError{Reason::names_unsorted, rank, index, before});
    }
    return {};
}

Result<void, ImageTablesError> ImageTables::check_frames() const {
    u64 covered = 0;
    for (u32 i = 0; i < header_.frame_count; ++i) {
        ImageFrame entry = frame(i);
        u64 end = u64{entry.begin} + entry.size;
        if (entry.begin < covered || end > ~u32{0})
            return fail(ImageTablesError{Reason::frames_overlap, i, entry.begin, covered});
        covered = end;
        if (entry.fde >= header_.eh_frame_size)
            return fail(ImageTablesError{Reason::frames_overlap, i, entry.fde, header_.eh_frame_size});
    }
    return {};
}

ImageSymbol ImageTables::symbol(u32 index) const {
    GRAFT_ASSERT(index < header_.symbol_count);
    return load<ImageSymbol>(header_.symbols_at + usize{index} * sizeof(ImageSymbol));
}

u32 ImageTables::name_order(u32 rank) const {
    GRAFT_ASSERT(rank < header_.symbol_count);
    return load<u32>(header_.name_order_at + usize{rank} * sizeof(u32));
}

ImageFrame ImageTables::frame(u32 index) const {
    GRAFT_ASSERT(index < header_.frame_count);
    return load<ImageFrame>(header_.frames_at + usize{index} * sizeof(ImageFrame));
}

std::string_view ImageTables::string(u32 position) const {
    GRAFT_ASSERT(position < header_.strings_size);
    const char* text = reinterpret_cast<const char*>(bytes_.data()) + header_.strings_at + position;
    usize length = 0;
    while (text[length] != 0) ++length;  // the last byte of the strings is NUL
    return {text, length};
}

std::optional<u32> ImageTables::offset_of(VirtAddr address) const {
    if (address.value < header_.image_base) return std::nullopt;
    u64 offset = address.value - header_.image_base;
    if (offset > ~u32{0}) return std::nullopt;
    return static_cast<u32>(offset);
}

u32 ImageTables::symbols_not_after(u32 offset) const {
    u32 low = 0;
    u32 high = header_.symbol_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (symbol(middle).offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

std::optional<u32> ImageTables::symbol_at(VirtAddr address) const {
    auto offset = offset_of(address);
    if (!offset) return std::nullopt;
    // Downwards to the nearest address with a function or object; of its symbols the first one that reaches is
    // canonical.
    std::optional<u32> nearest;
    std::optional<u32> found;
    for (u32 i = symbols_not_after(*offset); i-- > 0;) {
        ImageSymbol entry = symbol(i);
        if (entry.type == SymbolType::mark) continue;
        if (nearest && entry.offset != *nearest) break;
        nearest = entry.offset;
        u32 size = entry.size == 0 ? 1 : entry.size;
        if (*offset - entry.offset < size) found = i;
    }
    return found;
}

std::optional<u32> ImageTables::function_at_entry(VirtAddr address) const {
    auto offset = offset_of(address);
    if (!offset) return std::nullopt;
    std::optional<u32> found;
    for (u32 i = symbols_not_after(*offset); i-- > 0;) {
        ImageSymbol entry = symbol(i);
        if (entry.offset != *offset) break;
        if (entry.type == SymbolType::function) found = i;
    }
    return found;
}

ImageTables::Matches ImageTables::find_name(std::string_view wanted) const {
    auto bound = [&](bool after_equal) {
        u32 low = 0;
        u32 high = header_.symbol_count;
        while (low < high) {
            u32 middle = low + (high - low) / 2;
            int order = name(symbol(name_order(middle))).compare(wanted);
            if (order < 0 || (after_equal && order == 0))
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    };
    u32 first = bound(false);
    return {first, bound(true) - first};
}

std::optional<u32> ImageTables::find(std::string_view wanted, u16 position) const {
    Matches matches = find_name(wanted);
    for (u32 i = 0; i < matches.count; ++i) {
        u32 index = name_order(matches.first + i);
        if (symbol(index).position == position) return index;
    }
    return std::nullopt;
}

std::optional<u32> ImageTables::next_part(u32 parent, u32 after) const {
    if (header_.child_count == 0) return std::nullopt;
    for (u32 i = after == parent ? 0 : after + 1; i < header_.symbol_count; ++i) {
        ImageSymbol entry = symbol(i);
        if (entry.has(kSymbolChild) && entry.parent == parent) return i;
    }
    return std::nullopt;
}

std::optional<ImageFrame> ImageTables::frame_at(VirtAddr pc) const {
    auto offset = offset_of(pc);
    if (!offset) return std::nullopt;
    u32 low = 0;
    u32 high = header_.frame_count;
    while (low < high) {
        u32 middle = low + (high - low) / 2;
        if (frame(middle).begin <= *offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return std::nullopt;
    ImageFrame entry = frame(low - 1);
    if (*offset - entry.begin >= entry.size) return std::nullopt;
    return entry;
}

}  // namespace graft::formats
