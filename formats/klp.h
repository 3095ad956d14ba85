// The patch file, `.klp`: a relocatable ELF64 object whose section `.graft.patch` says what it replaces, and behind it
// an envelope of fixed size. Used by the loader in the image and by every producer on the host. The format, byte by
// byte: docs/reference/patch-format.md.
//
// The reader is a set of views over bytes that came from outside: it allocates nothing, checks every bound and never
// trusts a count. The views live as long as the bytes. The writer fills memory of the caller's.
//
// Locking: none. Context: any.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "base/reader.h"
#include "base/result.h"
#include "base/types.h"
#include "formats/keys.h"

namespace graft::formats {

// ---- limits ---------------------------------------------------------------------------------------------------------

inline constexpr u64 kKlpMaxFile = 4 * 1024 * 1024;  // envelope included
inline constexpr u32 kKlpMaxSections = 8192;         // of the ELF object
inline constexpr u32 kKlpMaxSymbols = 32768;
inline constexpr u32 kKlpMaxRelocations = 131072;  // against allocated sections
inline constexpr u32 kKlpMaxFunctions = 1024;      // funcs and holds together
inline constexpr u32 kKlpMaxReferences = kKlpMaxSymbols;
inline constexpr usize kKlpMaxRanges = 8;  // parts of one old function
inline constexpr u32 kKlpMaxStates = 64;
inline constexpr u32 kKlpMaxTimeLimitMs = 600'000;  // of a state's callback
inline constexpr usize kKlpMaxPatchName = 200;      // also of a set or a state
inline constexpr usize kKlpMaxText = 200;           // version, fixes, built_from, built_with
inline constexpr usize kKlpMaxDescription = 1024;
inline constexpr usize kKlpMaxSymbolName = 1024;  // a linkage name

// ---- the envelope ---------------------------------------------------------------------------------------------------

inline constexpr std::array<u8, 8> kKlpMagic = {'G', 'R', 'A', 'F', 'T', 'K', 'L', 'P'};
inline constexpr u32 kKlpEnvelopeVersion = 1;
inline constexpr usize kKlpEnvelopeSize = 104;
inline constexpr usize kKlpKeyIdOffset = 24;
inline constexpr usize kKlpSignedEnvelopeBytes = 40;  // the envelope's part that the signature covers, after the object

struct KlpEnvelope {
    u64 object_size = 0;
    KeyId key_id{};
    Signature signature{};  // Ed25519 over object and first kKlpSignedEnvelopeBytes of the envelope

    // Unsigned: key id and signature are all zeros.
    bool is_signed() const;
};

struct KlpFile {
    std::span<const std::byte> object;
    KlpEnvelope envelope;
};

// ---- the metadata ---------------------------------------------------------------------------------------------------

inline constexpr std::string_view kKlpSection = ".graft.patch";
inline constexpr std::array<u8, 4> kKlpMetadataMagic = {'G', 'R', 'P', 'M'};
inline constexpr u16 kKlpFormatVersion = 1;
inline constexpr usize kKlpMetadataHeaderSize = 32;
inline constexpr usize kKlpRecordHeaderSize = 8;
inline constexpr usize kKlpBuildIdSize = 20;
using KlpBuildId = std::array<u8, kKlpBuildIdSize>;

enum class KlpTag : u16 {
    name = 1,
    set = 2,
    version = 3,
    description = 4,
    fixes = 5,
    built_from = 6,
    built_with = 7,
    flags = 8,
    func = 16,
    hold = 17,
    reference = 18,
    state = 19,
    display_name = 20,
};

inline constexpr u16 kKlpCritical = 1;  // record flag: whoever doesn't know the tag must refuse the patch

inline constexpr u32 kKlpFlagEndless = 1;  // patch flag: an old or new function contains no return instruction
inline constexpr u32 kKlpKnownFlags = kKlpFlagEndless;

inline constexpr u32 kKlpStateIrreversible = 1;  // state flag: nothing that would undo it is done
inline constexpr u32 kKlpKnownStateFlags = kKlpStateIrreversible;

// ---- errors ---------------------------------------------------------------------------------------------------------

struct KlpError {
    enum class Reason : u8 {
        too_short,         // fewer bytes than an envelope
        too_long,          // more than kKlpMaxFile
        bad_magic,         // no envelope at the end: no patch, or a truncated one
        bad_envelope,      // envelope of another version, or reserved bytes in use
        bad_size,          // object_size isn't what precedes the envelope
        bad_metadata,      // header missing, wrong magic, or a size or count that doesn't fit
        bad_format,        // format version of other readers
        truncated_record,  // a record that reaches past the end
        unknown_record,    // a critical record with an unknown tag
        bad_record,        // a payload that isn't what its tag says
        bad_version,       // not one to four numbers with dots between
        bad_text,          // empty, too long, or with characters that aren't allowed
        repeated_record,   // more than one record where one is allowed
        missing_record,    // no name
        too_many_functions,
        too_many_references,
        too_many_states,
        unknown_flags,
    };
    Reason reason;
    u64 where = 0;  // byte position in the file (envelope) or in the section (metadata)
    u64 found = 0;
    u64 expected = 0;
};

template <typename T>
using KlpResult = Result<T, KlpError>;

// ---- reading --------------------------------------------------------------------------------------------------------

// Takes the envelope off. Says nothing about the signature's truth.
KlpResult<KlpFile> open_klp(std::span<const std::byte> file);

// May `name` be a patch's or a set's: 1 to kKlpMaxPatchName of A-Z a-z 0-9 . _ - +, the first a letter or digit.
bool is_patch_name(std::string_view name);

struct KlpHeader {
    u16 version = 0;
    KlpBuildId build_id{};
    u32 record_count = 0;
};

// The section's header alone, so that the build-id can be compared before anything else is believed.
KlpResult<KlpHeader> read_klp_header(std::span<const std::byte> section);

struct KlpRange {
    VirtAddr begin;
    std::span<const std::byte> bytes;  // what the image has there
};

// A func or a hold: one old function.
struct KlpFunction {
    KlpTag tag = KlpTag::func;
    VirtAddr entry;
    u32 position = 0;  // rank of `entry` among the image's functions named so, by address, from 1
    u32 symbol = 0;    // func: index of the new function in the object's symbol table; hold: 0
    std::string_view name;
    u32 range_count = 0;
    std::span<const std::byte> encoded_ranges;
    u64 where = 0;  // position of the record in the section

    // The ranges one after the other; `reader` starts over encoded_ranges.
    static KlpRange next_range(Reader& reader);
};

// An undefined symbol of the object and its address in the image.
struct KlpReference {
    u32 symbol = 0;
    VirtAddr address;
    u64 where = 0;
};

// How people call a function of the patch.
struct KlpDisplayName {
    u32 symbol = 0;  // index in the object's symbol table, larger than the one before; not 0
    std::string_view text;
    u64 where = 0;
};

// What a state's callbacks are, in the order of their symbols in the record.
enum class KlpCallback : u8 { pre_patch, post_patch, pre_unpatch, post_unpatch, destroy };
inline constexpr usize kKlpCallbackCount = 5;

// A state that the patch owns: a change to the system under an id, with what runs when it appears and disappears.
struct KlpState {
    u64 id = 0;  // not 0
    u32 version = 0;
    u32 flags = 0;
    u32 time_limit_ms = 0;                          // of one callback; 1 to kKlpMaxTimeLimitMs
    std::array<u32, kKlpCallbackCount> callback{};  // by KlpCallback: index in the object's symbol table, 0 = none
    std::string_view name;                          // as of a patch
    u64 where = 0;

    bool is_irreversible() const { return (flags & kKlpStateIrreversible) != 0; }
};

// All metadata of a patch. open() checks every record; what it hands out afterwards needs no more checks of form.
class KlpMetadata {
public:
    static KlpResult<KlpMetadata> open(std::span<const std::byte> section);

    const KlpHeader& header() const { return header_; }
    std::string_view name() const { return name_; }
    std::string_view set() const { return set_.empty() ? name_ : set_; }
    std::string_view version() const { return version_; }
    std::string_view description() const { return description_; }
    std::string_view fixes() const { return fixes_; }
    std::string_view built_from() const { return built_from_; }
    std::string_view built_with() const { return built_with_; }
    bool is_endless() const { return (flags_ & kKlpFlagEndless) != 0; }
    u32 func_count() const { return func_count_; }
    u32 hold_count() const { return hold_count_; }
    u32 reference_count() const { return reference_count_; }
    u32 state_count() const { return state_count_; }
    // Bytes of all display names together.
    u64 display_size() const { return display_size_; }

    // Walks in the order of the section; a cursor starts at 0 and is the walk's own.
    std::optional<KlpFunction> next_function(usize& cursor) const;
    std::optional<KlpReference> next_reference(usize& cursor) const;
    std::optional<KlpState> next_state(usize& cursor) const;
    // By symbol, ascending.
    std::optional<KlpDisplayName> next_display_name(usize& cursor) const;

private:
    struct Record;

    std::optional<Record> next_record(usize& cursor) const;
    KlpResult<void> take(const Record& record);
    KlpResult<void> take_text(const Record& record, std::string_view& into, usize limit);
    KlpResult<void> take_flags(const Record& record);
    KlpResult<void> take_state(const Record& record);
    KlpResult<void> take_display_name(const Record& record);

    std::span<const std::byte> section_;
    KlpHeader header_;
    std::string_view name_, set_, version_, description_, fixes_, built_from_, built_with_;
    bool has_flags_ = false;
    u32 flags_ = 0;
    u32 func_count_ = 0;
    u32 hold_count_ = 0;
    u32 reference_count_ = 0;
    u32 state_count_ = 0;
    u32 last_display_symbol_ = 0;
    u64 display_size_ = 0;
};

// ---- writing --------------------------------------------------------------------------------------------------------

// Fills the section `.graft.patch`. Bytes beyond the buffer are counted, not stored: a first pass with an empty buffer
// tells the size.
class KlpMetadataWriter {
public:
    KlpMetadataWriter(std::span<std::byte> out, const KlpBuildId& build_id);

    void text(KlpTag tag, std::string_view text);
    void flags(u32 flags);
    // `tag` is func or hold. Each range must hold at least one byte and at most 4 GiB - 1.
    void function(KlpTag tag, std::string_view name, VirtAddr entry, u32 position, u32 symbol,
                  std::span<const KlpRange> ranges);
    void reference(u32 symbol, VirtAddr address);
    void state(const KlpState& state);
    // Ascending by symbol.
    void display_name(u32 symbol, std::string_view text);

    // Writes the header; returns the section's size. The buffer is complete only if it is at least that large.
    usize finish();

private:
    void raw(const void* bytes, usize size);
    template <typename T>
    void number(T value) {
        raw(&value, sizeof(value));
    }
    void record(KlpTag tag, u16 flags, u64 length);

    std::span<std::byte> out_;
    KlpBuildId build_id_;
    usize position_ = kKlpMetadataHeaderSize;
    u32 record_count_ = 0;
};

// The envelope of an unsigned patch when key id and signature are left zero.
std::array<std::byte, kKlpEnvelopeSize> encode_klp_envelope(const KlpEnvelope& envelope);

}  // namespace graft::formats
