// Call-frame tables (.eh_frame) of the image and of patches: a bounds-checked parser, the sorted index by which a pc
// finds its entry, and the verification that a patch's table passes before any of its code can run.
//
// The table is input: a patch brings its own. Nothing in it is believed, every field is checked before it is used, and
// what this parser doesn't know is refused and never skipped. Accepted are CIEs of version 1 with the augmentations "",
// "zR" and "zRS" and 4- or 8-byte pointers, absolute or relative to their own place: what GCC and the assembler emit
// for this machine without exceptions.
//
// An FDE whose range is empty describes nothing and is passed over; whoever drops a function from an object zeroes the
// range field of its FDE (FdeView::size_field).
//
// Pure: no state, no locks, no allocation; callable in any context. [lsb §10.6] [dwarf §6.4]
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/types.h"

namespace graft::arch {

enum class FrameFault : u8 {
    truncated,                  // a field reaches past the end of its entry, or an entry past the end of the table
    oversized,                  // an entry or the table is larger than this parser's limit
    bad_cie_reference,          // an FDE names a place that holds no CIE
    unsupported_version,        // CIE version other than 1
    unsupported_augmentation,   // anything but "", "zR", "zRS", or augmentation data of another length
    unsupported_encoding,       // a pointer encoding that GCC doesn't emit for this machine
    unsupported_return_column,  // the return address column isn't rip (16)
    bad_alignment_factor,       // zero or out of reach
    number_out_of_range,        // a number that no stack frame can need
    unknown_operation,          // a call-frame operation that isn't known here
    unknown_register,           // a register number that isn't a general register's
    unsupported_expression,     // an expression that isn't `breg n [deref]`
    unbalanced_state,           // restore_state without remember_state, or nested too deep
    no_cfa,                     // a row without a rule for the canonical frame address
    no_return_address,          // a row whose return address isn't just below the frame address
    row_outside_function,       // a row begins past the end of its function
    entry_after_terminator,     // bytes other than zero follow the terminating entry
    range_wraps,                // a function that reaches past the end of the address space
    overlapping_functions,      // two entries claim the same code
    outside_allowed_code,       // an entry claims code that isn't the table's own
    signal_frame_refused,       // an interrupt entry's frame where none may be
    function_not_covered,       // a function without an entry that covers all of it
    index_full,                 // more entries than the caller's index has room for
};

std::string_view name_of(FrameFault fault);

struct FrameError {
    FrameFault fault;
    u32 offset;    // in the table, of the entry or field
    u64 expected;  // the bound or value that was demanded; an address where addresses are compared
    u64 found;
};

// A table and the address at which its first byte lies (or will lie) when its code runs.
struct FrameTable {
    std::span<const std::byte> bytes;
    VirtAddr at;
};

// One function's entry, decoded. The programs are parts of the table, which must outlive the view.
struct FdeView {
    AddressRange range;
    u32 offset = 0;      // of the entry in the table
    u32 size_field = 0;  // of the field that holds the range's size
    u8 size_field_bytes = 0;
    bool signal_frame = false;  // the frame of an interrupt entry: its caller's pc is exact, not a return address
    u32 code_alignment = 1;
    i32 data_alignment = 1;
    u32 common_offset = 0;   // of common_program in the table
    u32 program_offset = 0;  // of program in the table
    std::span<const std::byte> common_program;
    std::span<const std::byte> program;
};

// Limits. Real entries are far below: GCC's common part has 24 bytes, the largest function of an image a few hundred.
inline constexpr u32 kMaxTableSize = 64u << 20;
inline constexpr u32 kMaxFdeSize = 64u << 10;
inline constexpr u32 kMaxCieSize = 512;  // it is run again for each function that names it

// Decodes the FDE at `offset`, and the CIE that it names.
Result<FdeView, FrameError> parse_fde(FrameTable table, u32 offset);

// Goes through a table from its first entry to its last.
class FdeCursor {
public:
    explicit FdeCursor(FrameTable table) : table_(table) {}

    // The next FDE (also an empty one), or nothing at the end. After an error the cursor is at its end.
    Result<std::optional<FdeView>, FrameError> next();

private:
    Result<std::optional<FdeView>, FrameError> next_entry();

    FrameTable table_;
    u64 position_ = 0;
};

struct FrameIndexEntry {
    VirtAddr begin;
    u32 size;
    u32 fde_offset;

    constexpr AddressRange range() const { return AddressRange::of(begin, size); }
};

// The number of FDEs that describe something, i.e. the room that build_index() needs.
Result<usize, FrameError> count_functions(FrameTable table);

// Fills `index`, sorted by address, and returns how many entries it has. Refuses overlapping functions.
Result<usize, FrameError> build_index(FrameTable table, std::span<FrameIndexEntry> index);

// The entry whose range contains `pc`.
std::optional<FrameIndexEntry> find_in_index(std::span<const FrameIndexEntry> index, VirtAddr pc);

// Whose table it is. The image has interrupt entries and frames at which walks end; a patch has only functions that
// were called and will return.
enum class TableOwner : u8 { image, patch };

// What a table must satisfy before it is registered: every function lies inside one of `allowed_code` (a handful of
// ranges), no two overlap, and every program is well formed to its end. Fills `index` like build_index(). In a patch's
// table interrupt frames are refused, and rows without a return address: a walk would never get past them.
// Whether each function has an entry is check_covered()'s question.
Result<usize, FrameError> verify_frames(FrameTable table, std::span<const AddressRange> allowed_code, TableOwner owner,
                                        std::span<FrameIndexEntry> index);

// One entry of the (sorted) index covers the whole of `function`.
Result<void, FrameError> check_covered(std::span<const FrameIndexEntry> index, AddressRange function);

}  // namespace graft::arch
