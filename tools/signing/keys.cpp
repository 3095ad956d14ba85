#include "tools/signing/keys.h"

#include <sodium.h>

#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "base/assert.h"
#include "formats/klp.h"

namespace graft::tools {
namespace {

constexpr std::string_view kPublicWord = "graft-public-key";
constexpr std::string_view kSecretWord = "graft-secret-key";

std::string_view take_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
    line.remove_prefix(word.size());
    return word;
}

struct Row {
    std::string name;
    std::array<u8, 32> bytes{};
};

bool decode(std::string_view digits, std::array<u8, 32>& bytes) {
    usize length = 0;
    bool is_hex =
        sodium_hex2bin(bytes.data(), bytes.size(), digits.data(), digits.size(), nullptr, &length, nullptr) == 0;
    return is_hex && length == bytes.size() && digits.size() == 2 * bytes.size();
}

PackResult<Row> parse_row(std::string_view line, std::string_view wanted, const std::string& where) {
    std::string_view word = take_word(line);
    if (word != wanted) {
        bool is_other_half = word == kPublicWord || word == kSecretWord;
        return pack_error(fmt::format("{}: {}, expected {}", where,
                                      is_other_half ? "the other half of a key" : "no line of a key file", wanted));
    }
    std::string_view name = take_word(line);
    if (!is_key_name(name)) return pack_error(fmt::format("{}: '{}' is not a name for a key", where, name));
    Row row{std::string(name)};
    if (!decode(take_word(line), row.bytes))
        return pack_error(fmt::format("{}: expected 64 hexadecimal digits behind the name", where));
    if (!take_word(line).empty()) return pack_error(fmt::format("{}: something stands behind the key", where));
    return row;
}

// The one line that is neither empty nor a comment.
PackResult<Row> parse_file(std::string_view text, std::string_view wanted, const std::string& path) {
    std::optional<Row> found;
    for (usize number = 1; !text.empty(); ++number) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        std::string_view rest = line;
        std::string_view first = take_word(rest);
        if (first.empty() || first.front() == '#') continue;
        std::string where = fmt::format("{}:{}", path, number);
        if (found) return pack_error(fmt::format("{}: a second key; a key file holds one", where));
        found = GRAFT_TRY(parse_row(line, wanted, where));
    }
    if (!found) return pack_error(fmt::format("{}: no key in it; expected a line '{} NAME DIGITS'", path, wanted));
    return std::move(*found);
}

PackResult<std::string> read_text(const std::string& path) {
    constexpr usize kMaxKeyFile = 64 * 1024;
    auto bytes = GRAFT_TRY(read_file(path));
    if (bytes.size() > kMaxKeyFile) return pack_error(fmt::format("{}: too large for a key file", path));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

PackResult<formats::KlpFile> open_envelope(std::span<const std::byte> file) {
    auto opened = formats::open_klp(file);
    if (!opened) return pack_error("not a patch, or a damaged one: no sound envelope at its end");
    return *opened;
}

std::span<const std::byte> signed_part(std::span<const std::byte> file) {
    return file.first(file.size() - formats::kKlpEnvelopeSize + formats::kKlpSignedEnvelopeBytes);
}

const unsigned char* raw(std::span<const std::byte> bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
}

}  // namespace

// ---- keys -----------------------------------------------------------------------------------------------------------

SecretKey SecretKey::generate(std::string name) {
    GRAFT_ASSERT(sodium_init() >= 0);
    std::array<u8, kSeedSize> seed;
    randombytes_buf(seed.data(), seed.size());
    SecretKey key = from_seed(std::move(name), seed);
    sodium_memzero(seed.data(), seed.size());
    return key;
}

SecretKey SecretKey::from_seed(std::string name, const std::array<u8, kSeedSize>& seed) {
    SecretKey key(std::move(name));
    crypto_sign_ed25519_seed_keypair(key.public_half_.key.data(), key.secret_.data(), seed.data());
    key.public_half_.id = key_id_of(key.public_half_.key);
    return key;
}

SecretKey::SecretKey(SecretKey&& other) noexcept : public_half_(std::move(other.public_half_)), secret_(other.secret_) {
    sodium_memzero(other.secret_.data(), other.secret_.size());
}

SecretKey::~SecretKey() {
    sodium_memzero(secret_.data(), secret_.size());
}

formats::Signature SecretKey::sign(std::span<const std::byte> message) const {
    formats::Signature signature;
    crypto_sign_ed25519_detached(signature.data(), nullptr, raw(message), message.size(), secret_.data());
    return signature;
}

std::string SecretKey::secret_file() const {
    return fmt::format(
        "# Keep this secret: whoever has it can make patches that images with the public half accept.\n"
        "{} {} {:02x}\n",
        kSecretWord, public_half_.name, fmt::join(std::span(secret_).first(kSeedSize), ""));
}

std::string SecretKey::public_file() const {
    return fmt::format("# Key id {:02x}\n{} {} {:02x}\n", fmt::join(public_half_.id, ""), kPublicWord,
                       public_half_.name, fmt::join(public_half_.key, ""));
}

formats::KeyId key_id_of(const formats::PublicKey& key) {
    std::array<u8, crypto_hash_sha512_BYTES> hash;
    crypto_hash_sha512(hash.data(), key.data(), key.size());
    formats::KeyId id;
    std::memcpy(id.data(), hash.data(), id.size());
    return id;
}

bool is_key_name(std::string_view name) {
    return name.size() <= formats::kMaxKeyName && formats::is_patch_name(name);
}

// ---- key files ------------------------------------------------------------------------------------------------------

PackResult<NamedPublicKey> parse_public_key(std::string_view text, const std::string& path) {
    Row row = GRAFT_TRY(parse_file(text, kPublicWord, path));
    return NamedPublicKey{row.name, row.bytes, key_id_of(row.bytes)};
}

PackResult<SecretKey> parse_secret_key(std::string_view text, const std::string& path) {
    Row row = GRAFT_TRY(parse_file(text, kSecretWord, path));
    SecretKey key = SecretKey::from_seed(row.name, row.bytes);
    sodium_memzero(row.bytes.data(), row.bytes.size());
    return key;
}

PackResult<NamedPublicKey> read_public_key(const std::string& path) {
    return parse_public_key(GRAFT_TRY(read_text(path)), path);
}

PackResult<SecretKey> read_secret_key(const std::string& path) {
    std::string text = GRAFT_TRY(read_text(path));
    auto key = parse_secret_key(text, path);
    sodium_memzero(text.data(), text.size());
    return key;
}

// ---- patches --------------------------------------------------------------------------------------------------------

PackResult<void> sign_patch(std::span<std::byte> file, const SecretKey& key) {
    auto opened = GRAFT_TRY(open_envelope(file));
    opened.envelope.key_id = key.public_half().id;
    auto put_envelope = [&] {
        auto envelope = formats::encode_klp_envelope(opened.envelope);
        std::memcpy(file.data() + file.size() - envelope.size(), envelope.data(), envelope.size());
    };
    put_envelope();  // the key id is signed, too
    opened.envelope.signature = key.sign(signed_part(file));
    put_envelope();
    return {};
}

PackResult<SignatureState> check_signature(std::span<const std::byte> file, std::span<const NamedPublicKey> keys,
                                           const NamedPublicKey*& signer) {
    auto opened = GRAFT_TRY(open_envelope(file));
    signer = nullptr;
    if (!opened.envelope.is_signed()) return SignatureState::none;
    for (const NamedPublicKey& key : keys) {
        if (key.id == opened.envelope.key_id) signer = &key;
    }
    if (signer == nullptr) return SignatureState::unknown_key;
    auto message = signed_part(file);
    bool is_right = crypto_sign_ed25519_verify_detached(opened.envelope.signature.data(), raw(message), message.size(),
                                                        signer->key.data()) == 0;
    return is_right ? SignatureState::right : SignatureState::wrong;
}

}  // namespace graft::tools
