#include "arch/x86_64/pure/trampoline.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace graft::arch {

namespace {

constexpr u8 kJumpOpcode = 0xe9;                                        // jmp rel32
constexpr std::array<u8, 2> kJumpNotEqualOpcode = {0x0f, 0x85};         // jne rel32
constexpr std::array<u8, 4> kCompareOpcode = {0x65, 0x80, 0x3c, 0x25};  // gs: cmpb disp32, imm8, absolute by SIB
constexpr std::array<u8, 2> kLoadIndexOpcode = {0x41, 0xbb};            // mov $imm32, %r11d
constexpr usize kCompareEnd = 9;
constexpr usize kJumpNotEqualEnd = 15;

void put(std::span<u8> bytes, i32 value) {
    std::memcpy(bytes.data(), &value, sizeof(value));
}

}  // namespace

Result<i32, OutOfReach> displacement(VirtAddr from, VirtAddr to) {
    constexpr u64 kForward = std::numeric_limits<i32>::max();
    constexpr u64 kBackward = u64{1} << 31;
    bool fits = to >= from ? to - from <= kForward : from - to <= kBackward;
    if (!fits) return std::unexpected(OutOfReach{from, to});
    return static_cast<i32>(static_cast<i64>(to - from));
}

Result<SiteBytes, OutOfReach> encode_site_jump(VirtAddr site, VirtAddr target) {
    SiteBytes bytes{kJumpOpcode};
    put(std::span(bytes).subspan<1>(), GRAFT_TRY(displacement(site + kSiteSize, target)));
    return bytes;
}

VirtAddr site_jump_target(VirtAddr site, const SiteBytes& bytes) {
    if (!is_site_jump(bytes)) return {};
    i32 offset = 0;
    std::memcpy(&offset, bytes.data() + 1, sizeof(offset));
    return site + kSiteSize + static_cast<u64>(i64{offset});
}

Result<void, OutOfReach> encode_trampoline(VirtAddr at, i32 state_offset, VirtAddr when_zero, VirtAddr when_one,
                                           std::span<u8, kTrampolineSlot> slot) {
    i32 to_one = GRAFT_TRY(displacement(at + kJumpNotEqualEnd, when_one));
    i32 to_zero = GRAFT_TRY(displacement(at + kTrampolineBytes, when_zero));
    std::fill(slot.begin(), slot.end(), kBreakpoint);
    std::copy(kCompareOpcode.begin(), kCompareOpcode.end(), slot.begin());
    put(slot.subspan<4>(), state_offset);
    slot[8] = 0;
    std::copy(kJumpNotEqualOpcode.begin(), kJumpNotEqualOpcode.end(), slot.begin() + kCompareEnd);
    put(slot.subspan<11>(), to_one);
    slot[kJumpNotEqualEnd] = kJumpOpcode;
    put(slot.subspan<16>(), to_zero);
    return {};
}

Result<void, OutOfReach> encode_gate(VirtAddr at, u32 index, VirtAddr routine, std::span<u8, kGateSlot> slot) {
    i32 to_routine = GRAFT_TRY(displacement(at + kGateBytes, routine));
    std::fill(slot.begin(), slot.end(), kBreakpoint);
    std::copy(kLoadIndexOpcode.begin(), kLoadIndexOpcode.end(), slot.begin());
    std::memcpy(slot.data() + kLoadIndexOpcode.size(), &index, sizeof(index));
    slot[6] = kJumpOpcode;
    put(slot.subspan<7>(), to_routine);
    return {};
}

}  // namespace graft::arch
