// Origin: who vouches for a patch file. The check reads the envelope and nothing else of the file: before it has
// succeeded, no byte of the object is interpreted.
//
// Locking: none; the machine's keys are constant. Context: task; see patch/signature.h.
#pragma once

#include <span>
#include <string_view>

#include "formats/klp.h"
#include "patch/machine.h"
#include "patch/refusal.h"

namespace graft::patch {

struct Origin {
    formats::KlpFile file;
    std::string_view signer;  // the name of the key that the signature belongs to; empty: unsigned, and accepted so
};

// In this order: the envelope's form, a key for its key id (or that an unsigned patch may come this way), the
// signature over the object and the envelope's first part. A refusal from here is unauthenticated: anybody can cause
// it.
[[nodiscard]] RefusalResult<Origin> check_origin(const Machine& machine, std::span<const std::byte> file,
                                                 Source source);

}  // namespace graft::patch
