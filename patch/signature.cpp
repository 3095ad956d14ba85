#include "patch/signature.h"

#include <sodium/crypto_sign_ed25519.h>

namespace graft::patch {

bool is_signature_of(const formats::Signature& signature, std::span<const std::byte> message,
                     const formats::PublicKey& key) {
    auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
    return crypto_sign_ed25519_verify_detached(signature.data(), bytes, message.size(), key.data()) == 0;
}

}  // namespace graft::patch
