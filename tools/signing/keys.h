// Key files and signatures on the host, by libsodium. The files' format: docs/reference/keys.md.
//
// A secret key is wiped from memory when it goes. Context: host only; single-threaded.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "base/types.h"
#include "formats/keys.h"
#include "tools/patch/object.h"

namespace graft::tools {

struct NamedPublicKey {
    std::string name;
    formats::PublicKey key{};
    formats::KeyId id{};
};

class SecretKey {
public:
    static constexpr usize kSeedSize = 32;

    // A new one, from the system's random numbers.
    static SecretKey generate(std::string name);
    static SecretKey from_seed(std::string name, const std::array<u8, kSeedSize>& seed);
    SecretKey(SecretKey&& other) noexcept;
    SecretKey& operator=(SecretKey&&) = delete;
    SecretKey(const SecretKey&) = delete;
    ~SecretKey();

    const NamedPublicKey& public_half() const { return public_half_; }
    formats::Signature sign(std::span<const std::byte> message) const;
    // The lines of the secret key file and of the public one.
    std::string secret_file() const;
    std::string public_file() const;

private:
    explicit SecretKey(std::string name) { public_half_.name = std::move(name); }

    NamedPublicKey public_half_;
    std::array<u8, 64> secret_{};  // libsodium's form: seed, then public key
};

formats::KeyId key_id_of(const formats::PublicKey& key);
// May a key be called so? 1 to kMaxKeyName characters of those that patches are named with.
bool is_key_name(std::string_view name);

// `text` is a file's content, `path` its name for messages.
PackResult<NamedPublicKey> parse_public_key(std::string_view text, const std::string& path);
PackResult<SecretKey> parse_secret_key(std::string_view text, const std::string& path);
PackResult<NamedPublicKey> read_public_key(const std::string& path);
PackResult<SecretKey> read_secret_key(const std::string& path);

// Puts key id and signature into the envelope at the end of `file`, in place of what stands there. Nothing of the file
// but the envelope is looked at.
PackResult<void> sign_patch(std::span<std::byte> file, const SecretKey& key);

enum class SignatureState {
    none,         // unsigned
    unknown_key,  // by none of the keys
    wrong,        // another's, or the file was changed since
    right,
};
// `signer` becomes the key that the envelope names, if it is one of `keys`.
PackResult<SignatureState> check_signature(std::span<const std::byte> file, std::span<const NamedPublicKey> keys,
                                           const NamedPublicKey*& signer);

}  // namespace graft::tools
