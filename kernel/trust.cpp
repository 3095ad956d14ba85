#include "kernel/trust.h"

#include <array>
#include <atomic>

#include "kernel/log.h"

// The build makes them (mk/trusted_keys.py): a table that ends with a row without a name, and the switch.
extern "C" const graft::formats::TrustedKey graft_trusted_keys[];
extern "C" const bool graft_unsigned_on_serial;

namespace graft::kernel {

namespace {

constinit std::atomic<u32> taints{0};

constexpr u32 bit(Taint taint) {
    return u32{1} << static_cast<u32>(taint);
}

}  // namespace

std::span<const formats::TrustedKey> trusted_keys() {
    usize count = 0;
    while (!graft_trusted_keys[count].name().empty()) ++count;
    return {graft_trusted_keys, count};
}

bool accepts_unsigned_on_serial() {
    return graft_unsigned_on_serial;
}

void add_taint(Taint taint) {
    taints.fetch_or(bit(taint), std::memory_order_relaxed);
}

bool has_taint(Taint taint) {
    return (taints.load(std::memory_order_relaxed) & bit(taint)) != 0;
}

std::string_view name_of(Taint taint) {
    constexpr std::array<std::string_view, kTaintCount> kNames = {"development-key", "unsigned-patches"};
    return kNames[static_cast<usize>(taint)];
}

std::string_view describe(Taint taint) {
    constexpr std::array<std::string_view, kTaintCount> kTexts = {
        "patches signed with the published development key are accepted: anybody can make them",
        "unsigned patches are accepted on the serial line",
    };
    return kTexts[static_cast<usize>(taint)];
}

void announce_trust() {
    auto taint = [](Taint reason) {
        add_taint(reason);
        log_parts(LogLevel::warning, "tainted: ", describe(reason));
    };
    for (const formats::TrustedKey& key : trusted_keys()) {
        log_parts(LogLevel::info, "trusted key: ", key.name());
        if (key.is_published()) taint(Taint::development_key);
    }
    if (accepts_unsigned_on_serial()) taint(Taint::unsigned_patches);
    if (trusted_keys().empty() && !accepts_unsigned_on_serial())
        log(LogLevel::warning, "no trusted key is built in: no patch will be accepted");
}

}  // namespace graft::kernel
