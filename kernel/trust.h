// Whom this image trusts: the public keys it was built with (`make KEYS=…`), and whether it was built to take unsigned
// patches on its own serial line (`make UNSIGNED=serial`). Either can make the whole system doubtful: a taint.
//
// The kernel holds no secret. Locking: keys are constant, taints atomic. Context: any.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"
#include "patch/machine.h"

namespace graft::kernel {

[[nodiscard]] std::span<const formats::TrustedKey> trusted_keys();
[[nodiscard]] bool accepts_unsigned_on_serial();

// For good: a taint is never taken off.
enum class Taint : u8 {
    development_key,   // trusts a key whose secret half is public knowledge
    unsigned_patches,  // takes unsigned patches on the serial line
};
inline constexpr usize kTaintCount = 2;

void add_taint(Taint taint);
[[nodiscard]] bool has_taint(Taint taint);
// A word for scripts, and what it means.
[[nodiscard]] std::string_view name_of(Taint taint);
[[nodiscard]] std::string_view describe(Taint taint);

// Logs whom the image trusts, and adds the taints that come with it. Context: boot, once.
void announce_trust();

}  // namespace graft::kernel
