// Keys that vouch for patches, as image and host exchange them: the public keys an image is built with lie in it as a
// table of TrustedKey, which `graft bake` reads as well. Key files on the host: docs/reference/keys.md.
//
// Locking: none. Context: any.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"

namespace graft::formats {

using PublicKey = std::array<u8, 32>;  // Ed25519
using Signature = std::array<u8, 64>;  // Ed25519
using KeyId = std::array<u8, 16>;      // the first 16 bytes of the public key's SHA-512

inline constexpr usize kMaxKeyName = 63;

inline constexpr u32 kKeyIsPublished = 1;  // the secret half is public knowledge: its signatures prove nothing

// One row of the image's table `graft_trusted_keys`, which ends with a row without a name.
struct TrustedKey {
    std::array<char, kMaxKeyName + 1> name_bytes{};  // padded with zeros
    PublicKey key{};
    KeyId id{};
    u32 flags = 0;

    std::string_view name() const {
        std::string_view all(name_bytes.data(), kMaxKeyName);
        return all.substr(0, all.find('\0'));
    }
    bool is_published() const { return (flags & kKeyIsPublished) != 0; }
};
static_assert(sizeof(TrustedKey) == 116, "the image's table is read by the host");

inline constexpr const char* kTrustedKeysSymbol = "graft_trusted_keys";

}  // namespace graft::formats
