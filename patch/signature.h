// Ed25519 as patches use it, by libsodium. The only file of patch/ that knows the library is signature.cpp.
//
// Locking: none. Context: task; about 4 KiB of stack, and time that grows with the message.
#pragma once

#include <span>

#include "base/types.h"
#include "formats/keys.h"

namespace graft::patch {

// Is `signature` the signature of `message` by the owner of `key`? Signatures and keys in a form that RFC 8032 doesn't
// produce, and keys of small order, are not accepted.
[[nodiscard]] bool is_signature_of(const formats::Signature& signature, std::span<const std::byte> message,
                                   const formats::PublicKey& key);

}  // namespace graft::patch
