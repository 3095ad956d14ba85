#include "formats/klp.h"

#include <algorithm>
#include <cstring>

#include "formats/version.h"

namespace graft::formats {

namespace {

using Reason = KlpError::Reason;

std::unexpected<KlpError> klp_error(Reason reason, u64 where, u64 found = 0, u64 expected = 0) {
    return fail(KlpError{reason, where, found, expected});
}

template <usize Size>
bool matches(std::span<const std::byte> bytes, const std::array<u8, Size>& expected) {
    return bytes.size() == Size && std::memcmp(bytes.data(), expected.data(), Size) == 0;
}

bool is_name_character(char c) {
    bool letter_or_digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    return letter_or_digit || c == '.' || c == '_' || c == '-' || c == '+';
}

// One line that a terminal or a table can show: no control characters.
bool is_one_line(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return byte >= 0x20 && byte != 0x7f;
    });
}

// A linkage name: printable, without blanks.
bool is_symbol_name(std::string_view name) {
    if (name.empty() || name.size() > kKlpMaxSymbolName) return false;
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
}

// Decodes func and hold; nothing when the payload isn't exactly one.
std::optional<KlpFunction> decode_function(KlpTag tag, std::span<const std::byte> payload, u64 where) {
    Reader reader(payload);
    KlpFunction function;
    function.tag = tag;
    function.where = where;
    function.entry = VirtAddr(reader.read<u64>());
    function.position = reader.read<u32>();
    function.symbol = reader.read<u32>();
    function.range_count = reader.read<u16>();
    usize name_size = reader.read<u16>();
    function.name = reader.take_text(name_size);
    if (!reader.ok() || !is_symbol_name(function.name)) return std::nullopt;
    if (function.position == 0 || (tag == KlpTag::hold && function.symbol != 0)) return std::nullopt;
    if (function.range_count == 0 || function.range_count > kKlpMaxRanges) return std::nullopt;

    function.encoded_ranges = payload.subspan(reader.position());
    Reader ranges(function.encoded_ranges);
    for (u32 i = 0; i < function.range_count; ++i) {
        auto range = KlpFunction::next_range(ranges);
        if (!ranges.ok() || range.bytes.empty()) return std::nullopt;
        if (!checked_add<u64>(range.begin.value, range.bytes.size())) return std::nullopt;
    }
    if (!ranges.at_end()) return std::nullopt;
    return function;
}

std::optional<KlpReference> decode_reference(std::span<const std::byte> payload, u64 where) {
    Reader reader(payload);
    KlpReference reference;
    reference.where = where;
    reference.symbol = reader.read<u32>();
    reader.skip(4);
    reference.address = VirtAddr(reader.read<u64>());
    if (!reader.ok() || !reader.at_end() || reference.symbol == 0) return std::nullopt;
    return reference;
}

// Flags are left to the caller, who knows better what to say of them.
std::optional<KlpState> decode_state(std::span<const std::byte> payload, u64 where) {
    Reader reader(payload);
    KlpState state;
    state.where = where;
    state.id = reader.read<u64>();
    state.version = reader.read<u32>();
    state.flags = reader.read<u32>();
    state.time_limit_ms = reader.read<u32>();
    for (u32& symbol : state.callback) symbol = reader.read<u32>();
    usize name_size = reader.read<u16>();
    u16 reserved = reader.read<u16>();
    state.name = reader.take_text(name_size);
    if (!reader.ok() || !reader.at_end() || reserved != 0 || state.id == 0) return std::nullopt;
    if (state.time_limit_ms == 0 || state.time_limit_ms > kKlpMaxTimeLimitMs) return std::nullopt;
    if (!is_patch_name(state.name)) return std::nullopt;
    return state;
}

std::optional<KlpDisplayName> decode_display_name(std::span<const std::byte> payload, u64 where) {
    Reader reader(payload);
    KlpDisplayName name;
    name.where = where;
    name.symbol = reader.read<u32>();
    name.text = reader.take_text(reader.remaining());
    if (!reader.ok() || name.symbol == 0) return std::nullopt;
    return name;
}

}  // namespace

bool KlpEnvelope::is_signed() const {
    auto is_zero = [](u8 byte) { return byte == 0; };
    return !std::all_of(key_id.begin(), key_id.end(), is_zero) ||
           !std::all_of(signature.begin(), signature.end(), is_zero);
}

KlpResult<KlpFile> open_klp(std::span<const std::byte> file) {
    if (file.size() < kKlpEnvelopeSize) return klp_error(Reason::too_short, 0, file.size(), kKlpEnvelopeSize);
    if (file.size() > kKlpMaxFile) return klp_error(Reason::too_long, 0, file.size(), kKlpMaxFile);

    u64 at = file.size() - kKlpEnvelopeSize;
    Reader reader(file.subspan(at));
    if (!matches(reader.take(kKlpMagic.size()), kKlpMagic)) return klp_error(Reason::bad_magic, at);
    u32 version = reader.read<u32>();
    if (version != kKlpEnvelopeVersion) return klp_error(Reason::bad_envelope, at + 8, version, kKlpEnvelopeVersion);
    u32 reserved = reader.read<u32>();
    if (reserved != 0) return klp_error(Reason::bad_envelope, at + 12, reserved, 0);

    KlpFile opened;
    opened.envelope.object_size = reader.read<u64>();
    if (opened.envelope.object_size != at) return klp_error(Reason::bad_size, at + 16, opened.envelope.object_size, at);
    auto key_id = reader.take(opened.envelope.key_id.size());
    auto signature = reader.take(opened.envelope.signature.size());
    std::memcpy(opened.envelope.key_id.data(), key_id.data(), key_id.size());
    std::memcpy(opened.envelope.signature.data(), signature.data(), signature.size());
    opened.object = file.first(at);
    return opened;
}

bool is_patch_name(std::string_view name) {
    if (name.empty() || name.size() > kKlpMaxPatchName) return false;
    char first = name.front();
    if (first == '.' || first == '_' || first == '-' || first == '+') return false;
    return std::all_of(name.begin(), name.end(), is_name_character);
}

KlpResult<KlpHeader> read_klp_header(std::span<const std::byte> section) {
    if (section.size() < kKlpMetadataHeaderSize) {
        return klp_error(Reason::bad_metadata, 0, section.size(), kKlpMetadataHeaderSize);
    }
    Reader reader(section);
    if (!matches(reader.take(kKlpMetadataMagic.size()), kKlpMetadataMagic)) return klp_error(Reason::bad_metadata, 0);
    KlpHeader header;
    header.version = reader.read<u16>();
    if (header.version != kKlpFormatVersion) return klp_error(Reason::bad_format, 4, header.version, kKlpFormatVersion);
    u16 reserved = reader.read<u16>();
    if (reserved != 0) return klp_error(Reason::bad_metadata, 6, reserved, 0);
    header.record_count = reader.read<u32>();
    auto build_id = reader.take(kKlpBuildIdSize);
    std::memcpy(header.build_id.data(), build_id.data(), kKlpBuildIdSize);
    return header;
}

KlpRange KlpFunction::next_range(Reader& reader) {
    KlpRange range;
    range.begin = VirtAddr(reader.read<u64>());
    usize size = reader.read<u32>();
    range.bytes = reader.take(size);
    return range;
}

// ---- KlpMetadata ----------------------------------------------------------------------------------------------------

struct KlpMetadata::Record {
    u16 tag = 0;
    u16 flags = 0;
    u64 where = 0;
    std::span<const std::byte> payload;

    bool is(KlpTag wanted) const { return tag == static_cast<u16>(wanted); }
};

// Nothing at the end and at a record that reaches past it; open() tells the two apart.
std::optional<KlpMetadata::Record> KlpMetadata::next_record(usize& cursor) const {
    usize start = cursor < kKlpMetadataHeaderSize ? kKlpMetadataHeaderSize : cursor;
    Reader reader(section_);
    reader.seek(start);
    if (!reader.ok() || reader.at_end()) return std::nullopt;
    Record record;
    record.where = start;
    record.tag = reader.read<u16>();
    record.flags = reader.read<u16>();
    usize length = reader.read<u32>();
    record.payload = reader.take(length);
    if (!reader.ok()) return std::nullopt;
    cursor = reader.position();
    return record;
}

KlpResult<KlpMetadata> KlpMetadata::open(std::span<const std::byte> section) {
    KlpMetadata metadata;
    metadata.section_ = section;
    metadata.header_ = GRAFT_TRY(read_klp_header(section));

    usize cursor = kKlpMetadataHeaderSize;
    u32 count = 0;
    while (auto record = metadata.next_record(cursor)) {
        ++count;
        GRAFT_CHECK(metadata.take(*record));
    }
    if (cursor != section.size()) return klp_error(Reason::truncated_record, cursor, section.size());
    if (count != metadata.header_.record_count) {
        return klp_error(Reason::bad_metadata, 8, metadata.header_.record_count, count);
    }
    if (metadata.name_.empty()) return klp_error(Reason::missing_record, 0, 0, static_cast<u64>(KlpTag::name));
    return metadata;
}

KlpResult<void> KlpMetadata::take(const Record& record) {
    if ((record.flags & ~kKlpCritical) != 0) return klp_error(Reason::unknown_flags, record.where + 2, record.flags, 0);
    switch (static_cast<KlpTag>(record.tag)) {
        case KlpTag::name:
        case KlpTag::set: {
            auto& into = record.is(KlpTag::name) ? name_ : set_;
            GRAFT_CHECK(take_text(record, into, kKlpMaxPatchName));
            if (!is_patch_name(into)) return klp_error(Reason::bad_text, record.where, record.tag);
            return {};
        }
        case KlpTag::version:
            GRAFT_CHECK(take_text(record, version_, kKlpMaxText));
            if (!parse_patch_version(version_)) return klp_error(Reason::bad_version, record.where);
            return {};
        case KlpTag::description:
            return take_text(record, description_, kKlpMaxDescription);
        case KlpTag::fixes:
            return take_text(record, fixes_, kKlpMaxText);
        case KlpTag::built_from:
            return take_text(record, built_from_, kKlpMaxText);
        case KlpTag::built_with:
            return take_text(record, built_with_, kKlpMaxText);
        case KlpTag::flags:
            return take_flags(record);
        case KlpTag::func:
        case KlpTag::hold: {
            auto tag = static_cast<KlpTag>(record.tag);
            if (!decode_function(tag, record.payload, record.where))
                return klp_error(Reason::bad_record, record.where, record.tag);
            u32& count = tag == KlpTag::func ? func_count_ : hold_count_;
            ++count;
            u32 total = func_count_ + hold_count_;
            if (total > kKlpMaxFunctions)
                return klp_error(Reason::too_many_functions, record.where, total, kKlpMaxFunctions);
            return {};
        }
        case KlpTag::reference:
            if (!decode_reference(record.payload, record.where))
                return klp_error(Reason::bad_record, record.where, record.tag);
            ++reference_count_;
            if (reference_count_ > kKlpMaxReferences) {
                return klp_error(Reason::too_many_references, record.where, reference_count_, kKlpMaxReferences);
            }
            return {};
        case KlpTag::state:
            return take_state(record);
        case KlpTag::display_name:
            return take_display_name(record);
    }
    if ((record.flags & kKlpCritical) != 0) return klp_error(Reason::unknown_record, record.where, record.tag);
    return {};
}

KlpResult<void> KlpMetadata::take_text(const Record& record, std::string_view& into, usize limit) {
    if (!into.empty()) return klp_error(Reason::repeated_record, record.where, record.tag);
    std::string_view text(reinterpret_cast<const char*>(record.payload.data()), record.payload.size());
    if (text.empty() || text.size() > limit) return klp_error(Reason::bad_text, record.where, text.size(), limit);
    if (!is_one_line(text)) return klp_error(Reason::bad_text, record.where, record.tag);
    into = text;
    return {};
}

KlpResult<void> KlpMetadata::take_flags(const Record& record) {
    if (has_flags_) return klp_error(Reason::repeated_record, record.where, record.tag);
    Reader reader(record.payload);
    flags_ = reader.read<u32>();
    if (!reader.ok() || !reader.at_end()) return klp_error(Reason::bad_record, record.where, record.tag);
    if ((flags_ & ~kKlpKnownFlags) != 0) return klp_error(Reason::unknown_flags, record.where, flags_, kKlpKnownFlags);
    has_flags_ = true;
    return {};
}

KlpResult<void> KlpMetadata::take_state(const Record& record) {
    auto state = decode_state(record.payload, record.where);
    if (!state) return klp_error(Reason::bad_record, record.where, record.tag);
    if ((state->flags & ~kKlpKnownStateFlags) != 0)
        return klp_error(Reason::unknown_flags, record.where, state->flags, kKlpKnownStateFlags);
    ++state_count_;
    if (state_count_ > kKlpMaxStates)
        return klp_error(Reason::too_many_states, record.where, state_count_, kKlpMaxStates);
    return {};
}

KlpResult<void> KlpMetadata::take_display_name(const Record& record) {
    auto name = decode_display_name(record.payload, record.where);
    if (!name || name->symbol <= last_display_symbol_) return klp_error(Reason::bad_record, record.where, record.tag);
    if (name->text.empty() || name->text.size() > kKlpMaxSymbolName)
        return klp_error(Reason::bad_text, record.where, name->text.size(), kKlpMaxSymbolName);
    if (!is_one_line(name->text)) return klp_error(Reason::bad_text, record.where, record.tag);
    last_display_symbol_ = name->symbol;
    display_size_ += name->text.size();
    return {};
}

std::optional<KlpFunction> KlpMetadata::next_function(usize& cursor) const {
    while (auto record = next_record(cursor)) {
        if (record->is(KlpTag::func) || record->is(KlpTag::hold)) {
            return decode_function(static_cast<KlpTag>(record->tag), record->payload, record->where);
        }
    }
    return std::nullopt;
}

std::optional<KlpReference> KlpMetadata::next_reference(usize& cursor) const {
    while (auto record = next_record(cursor)) {
        if (record->is(KlpTag::reference)) return decode_reference(record->payload, record->where);
    }
    return std::nullopt;
}

std::optional<KlpState> KlpMetadata::next_state(usize& cursor) const {
    while (auto record = next_record(cursor)) {
        if (record->is(KlpTag::state)) return decode_state(record->payload, record->where);
    }
    return std::nullopt;
}

std::optional<KlpDisplayName> KlpMetadata::next_display_name(usize& cursor) const {
    while (auto record = next_record(cursor)) {
        if (record->is(KlpTag::display_name)) return decode_display_name(record->payload, record->where);
    }
    return std::nullopt;
}

// ---- writing --------------------------------------------------------------------------------------------------------

KlpMetadataWriter::KlpMetadataWriter(std::span<std::byte> out, const KlpBuildId& build_id)
    : out_(out), build_id_(build_id) {}

void KlpMetadataWriter::raw(const void* bytes, usize size) {
    if (size != 0 && position_ + size <= out_.size()) std::memcpy(out_.data() + position_, bytes, size);
    position_ += size;
}

void KlpMetadataWriter::record(KlpTag tag, u16 flags, u64 length) {
    ++record_count_;
    number(static_cast<u16>(tag));
    number(flags);
    number(static_cast<u32>(length));
}

void KlpMetadataWriter::text(KlpTag tag, std::string_view text) {
    bool changes_meaning = tag == KlpTag::name || tag == KlpTag::set;
    record(tag, changes_meaning ? kKlpCritical : 0, text.size());
    raw(text.data(), text.size());
}

void KlpMetadataWriter::flags(u32 flags) {
    record(KlpTag::flags, kKlpCritical, sizeof(flags));
    number(flags);
}

void KlpMetadataWriter::function(KlpTag tag, std::string_view name, VirtAddr entry, u32 position, u32 symbol,
                                 std::span<const KlpRange> ranges) {
    u64 length = 8 + 4 + 4 + 2 + 2 + name.size();
    for (const auto& range : ranges) length += 12 + range.bytes.size();
    record(tag, kKlpCritical, length);
    number(entry.value);
    number(position);
    number(symbol);
    number(static_cast<u16>(ranges.size()));
    number(static_cast<u16>(name.size()));
    raw(name.data(), name.size());
    for (const auto& range : ranges) {
        number(range.begin.value);
        number(static_cast<u32>(range.bytes.size()));
        raw(range.bytes.data(), range.bytes.size());
    }
}

void KlpMetadataWriter::reference(u32 symbol, VirtAddr address) {
    record(KlpTag::reference, kKlpCritical, 16);
    number(symbol);
    number(u32{0});
    number(address.value);
}

void KlpMetadataWriter::state(const KlpState& state) {
    record(KlpTag::state, kKlpCritical, 8 + 4 + 4 + 4 + 4 * kKlpCallbackCount + 2 + 2 + state.name.size());
    number(state.id);
    number(state.version);
    number(state.flags);
    number(state.time_limit_ms);
    for (u32 symbol : state.callback) number(symbol);
    number(static_cast<u16>(state.name.size()));
    number(u16{0});
    raw(state.name.data(), state.name.size());
}

void KlpMetadataWriter::display_name(u32 symbol, std::string_view text) {
    record(KlpTag::display_name, 0, 4 + text.size());
    number(symbol);
    raw(text.data(), text.size());
}

usize KlpMetadataWriter::finish() {
    usize size = position_;
    position_ = 0;
    raw(kKlpMetadataMagic.data(), kKlpMetadataMagic.size());
    number(kKlpFormatVersion);
    number(u16{0});
    number(record_count_);
    raw(build_id_.data(), build_id_.size());
    position_ = size;
    return size;
}

std::array<std::byte, kKlpEnvelopeSize> encode_klp_envelope(const KlpEnvelope& envelope) {
    std::array<std::byte, kKlpEnvelopeSize> bytes{};
    std::byte* out = bytes.data();
    std::memcpy(out, kKlpMagic.data(), kKlpMagic.size());
    std::memcpy(out + 8, &kKlpEnvelopeVersion, 4);
    std::memcpy(out + 16, &envelope.object_size, 8);
    std::memcpy(out + 24, envelope.key_id.data(), envelope.key_id.size());
    std::memcpy(out + 40, envelope.signature.data(), envelope.signature.size());
    return bytes;
}

}  // namespace graft::formats
