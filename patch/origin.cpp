#include "patch/origin.h"

#include "patch/plan.h"
#include "patch/signature.h"

namespace graft::patch {

namespace {

const formats::TrustedKey* find_key(std::span<const formats::TrustedKey> keys, const formats::KeyId& id) {
    for (const formats::TrustedKey& key : keys) {
        if (key.id == id) return &key;
    }
    return nullptr;
}

// The first 8 bytes as they are read: big-endian.
u64 first_bytes(const formats::KeyId& id) {
    u64 value;
    std::memcpy(&value, id.data(), sizeof(value));
    return __builtin_bswap64(value);
}

}  // namespace

RefusalResult<Origin> check_origin(const Machine& machine, std::span<const std::byte> file, Source source) {
    auto opened = formats::open_klp(file);
    if (!opened) return std::unexpected(refusal_of(opened.error()));
    const formats::KlpEnvelope& envelope = opened->envelope;
    u64 envelope_at = envelope.object_size;
    if (!envelope.is_signed()) {
        if (!machine.accepts_unsigned(source)) return refuse(RefusalCode::not_signed, {}, envelope_at);
        return Origin{*opened, {}};
    }
    const formats::TrustedKey* key = find_key(machine.trusted_keys(), envelope.key_id);
    if (key == nullptr)
        return refuse(RefusalCode::unknown_key, {}, envelope_at + formats::kKlpKeyIdOffset,
                      first_bytes(envelope.key_id));
    auto message = file.first(envelope_at + formats::kKlpSignedEnvelopeBytes);
    if (!is_signature_of(envelope.signature, message, key->key))
        return refuse(RefusalCode::wrong_signature, key->name(), envelope_at + formats::kKlpSignedEnvelopeBytes);
    return Origin{*opened, key->name()};
}

}  // namespace graft::patch
