// The tables of the image, section .graft_tables: every symbol with its names and properties, and an index of the
// unwind tables. tools/image/imagetables writes them between the first and the second link; the image, the patch loader
// and the host tools read them through ImageTables.
//
// Layout (little endian, every array 4-aligned, all positions in bytes from the start of the section):
//
//   ImageTablesHeader
//   ImageSymbol[symbol_count]     at symbols_at     sorted by (offset, alias rank): the canonical name of an address
//   first u32[symbol_count]             at name_order_at  symbol indices, sorted by (linkage name, offset)
//   ImageFrame[frame_count]       at frames_at      sorted by begin, without overlap
//   char[strings_size]            at strings_at     NUL-terminated names; string 0 is empty
//
// "Offset" always means bytes from image_base (the link address __image_begin). Code and data of the 32-bit start,
// which runs below the image's addresses, isn't listed: it is over before the tables are read.
//
// Invariants, checked by open() and relied on afterwards: all arrays and names lie within the section, the orders above
// hold, parents are no children themselves, frames don't overlap.
//
// Locking: none, the tables never change. Context: any; no allocation.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/types.h"

namespace graft::formats {

constexpr u32 kImageTablesMagic = 0x42545247;  // "GRTB"
constexpr u32 kImageTablesVersion = 2;
constexpr usize kBuildIdSize = 20;  // SHA-1, as ld's --build-id=sha1

using BuildId = std::array<u8, kBuildIdSize>;

struct ImageTablesHeader {
    u32 magic;
    u32 version;
    u32 total_size;
    u32 symbol_count;
    u64 image_base;
    u32 text_begin;  // offsets of the image's executable range
    u32 text_end;
    u32 symbols_at;
    u32 name_order_at;
    u32 frames_at;
    u32 frame_count;
    u32 strings_at;
    u32 strings_size;
    u32 eh_frame;  // offset of .eh_frame from image_base
    u32 eh_frame_size;
    u32 child_count;  // symbols with the flag child
    BuildId build_id;
};
static_assert(sizeof(ImageTablesHeader) == 88);

enum class SymbolType : u8 {
    function = 1,
    object = 2,
    mark = 3,  // a place: a bound that the linker script defines, an untyped assembly label. No size.
};

enum SymbolFlags : u8 {
    kSymbolHasSite = 1 << 0,    // has a call site: the 5-byte NOP stands at its entry
    kSymbolNoPatch = 1 << 1,    // on the no-patch list
    kSymbolAssembly = 1 << 2,   // not written by the compiler
    kSymbolHasReturn = 1 << 3,  // can be left: some part holds a return instruction or a jump to other code
    kSymbolChild = 1 << 4,      // a part of the function `parent` (f.cold), not a function by itself
    kSymbolAlias = 1 << 5,      // shares its address with another symbol of its type
    kSymbolLocal = 1 << 6,      // not visible outside its translation unit
    kSymbolInitText = 1 << 7,   // only runs while the image boots: in .init.text
};

struct ImageSymbol {
    u32 offset;
    u32 size;
    u32 name;      // linkage name, position in the strings
    u32 display;   // demangled name; equals `name` where there is nothing to demangle
    u32 parent;    // index of the symbol that it is a part of; its own index unless kSymbolChild
    u16 position;  // rank of its address among the symbols with its linkage name, from 1
    SymbolType type;
    u8 flags;

    constexpr bool has(SymbolFlags flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(ImageSymbol) == 24);

struct ImageFrame {
    u32 begin;
    u32 size;
    u32 fde;  // position of the FDE's length field in .eh_frame
};
static_assert(sizeof(ImageFrame) == 12);

struct ImageTablesError {
    enum class Reason : u8 {
        too_short,         // fewer bytes than a header
        bad_magic,         // not the tables of an image
        bad_version,       // written for other readers
        bad_size,          // total_size isn't within the given bytes
        array_outside,     // an array doesn't lie within the section, or is misaligned
        name_outside,      // a name doesn't lie within the strings, or isn't terminated
        symbols_unsorted,  // symbols not in order of address
        names_unsorted,    // name order isn't the sorted permutation
        bad_parent,        // parent is no function, or a child itself
        bad_symbol,        // unknown type, or a range that wraps
        frames_overlap,    // frames not in order, overlapping or wrapping
    };
    Reason reason;
    u64 where;  // position in the section, or index of the entry
    u64 found;
    u64 expected;
};

class ImageTables {
public:
    // `section` must outlive the view. Its tail beyond total_size (padding) is ignored.
    static Result<ImageTables, ImageTablesError> open(std::span<const std::byte> section);

    const ImageTablesHeader& header() const { return header_; }
    const BuildId& build_id() const { return header_.build_id; }
    VirtAddr image_base() const { return VirtAddr(header_.image_base); }
    AddressRange text() const { return {image_base() + header_.text_begin, image_base() + header_.text_end}; }
    AddressRange eh_frame() const { return AddressRange::of(image_base() + header_.eh_frame, header_.eh_frame_size); }

    u32 symbol_count() const { return header_.symbol_count; }
    // `index` < symbol_count().
    ImageSymbol symbol(u32 index) const;
    std::string_view name(const ImageSymbol& symbol) const { return string(symbol.name); }
    std::string_view display_name(const ImageSymbol& symbol) const { return string(symbol.display); }
    VirtAddr address(const ImageSymbol& symbol) const { return image_base() + symbol.offset; }
    AddressRange range(const ImageSymbol& symbol) const { return AddressRange::of(address(symbol), symbol.size); }

    // The canonical function or object whose range holds `address`; one without a size counts as one byte.
    std::optional<u32> symbol_at(VirtAddr address) const;
    // The canonical function that starts exactly at `address`.
    std::optional<u32> function_at_entry(VirtAddr address) const;

    // All symbols with a linkage name: name_order(first) … name_order(first + count - 1), by ascending address.
    struct Matches {
        u32 first;
        u32 count;
    };
    Matches find_name(std::string_view name) const;
    u32 name_order(u32 rank) const;
    // The symbol of that linkage name and position (rank by address, from 1).
    std::optional<u32> find(std::string_view name, u16 position) const;

    // The next part of the function `parent` after symbol `after` (start with `parent` itself), or nothing.
    std::optional<u32> next_part(u32 parent, u32 after) const;

    u32 frame_count() const { return header_.frame_count; }
    // `index` < frame_count().
    ImageFrame frame(u32 index) const;
    std::optional<ImageFrame> frame_at(VirtAddr pc) const;

private:
    ImageTables(std::span<const std::byte> bytes, const ImageTablesHeader& header) : bytes_(bytes), header_(header) {}

    template <typename T>
    T load(usize position) const;
    std::string_view string(u32 position) const;
    std::optional<u32> offset_of(VirtAddr address) const;
    u32 symbols_not_after(u32 offset) const;

    Result<void, ImageTablesError> check_arrays() const;
    Result<void, ImageTablesError> check_symbols() const;
    Result<void, ImageTablesError> check_names() const;
    Result<void, ImageTablesError> check_frames() const;

    std::span<const std::byte> bytes_;
    ImageTablesHeader header_;
};

}  // namespace graft::formats
