#include "arch/x86_64/clock.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/sync.h"

namespace graft::arch {

namespace {

__extension__ using u128 = unsigned __int128;

constexpr u64 kNsPerSecond = 1'000'000'000;
constexpr u64 kPlausibleHz = 100'000'000;  // a slower answer is none

// 8254 channel 2, gated and read through port 0x61.
constexpr u64 kPitHz = 1'193'182;
constexpr u16 kPitChannel2 = 0x42;
constexpr u16 kPitCommand = 0x43;
constexpr u16 kSystemControl = 0x61;
constexpr u8 kGateChannel2 = 1u << 0;
constexpr u8 kSpeaker = 1u << 1;
constexpr u8 kChannel2Out = 1u << 5;
constexpr u16 kPitTicks = 11'932;  // 10 ms
constexpr u64 kFallbackHz = 1'000'000'000;

u64 frequency_hz;
u64 start_tsc;
u64 ns_per_tick;  // 32.32 fixed point

u64 from_cpuid() {
    if (cpuid(0).eax < 0x15) return 0;
    CpuidLeaf leaf = cpuid(0x15);
    if (leaf.eax == 0 || leaf.ebx == 0 || leaf.ecx == 0) return 0;
    return u64{leaf.ecx} * leaf.ebx / leaf.eax;
}

u64 from_hypervisor() {
    constexpr u32 kHypervisorPresent = 1u << 31;
    if (!(cpuid(1).ecx & kHypervisorPresent)) return 0;
    if (cpuid(0x4000'0000).eax < 0x4000'0010) return 0;
    return u64{cpuid(0x4000'0010).eax} * 1000;
}

u64 from_pit() {
    out8(kSystemControl, static_cast<u8>((in8(kSystemControl) & ~kSpeaker) & ~kGateChannel2));
    out8(kPitCommand, 0xb0);  // channel 2, both bytes, mode 0: output rises at zero
    out8(kPitChannel2, kPitTicks & 0xff);
    out8(kPitChannel2, kPitTicks >> 8);
    out8(kSystemControl, static_cast<u8>(in8(kSystemControl) | kGateChannel2));
    constexpr u32 kPatience = 10'000'000;
    u64 begin = read_tsc();
    u32 turn = 0;
    while (!(in8(kSystemControl) & kChannel2Out))
        if (++turn == kPatience) return 0;
    return (read_tsc() - begin) * kPitHz / kPitTicks;
}

}  // namespace

void init_clock() {
    frequency_hz = from_cpuid();
    if (frequency_hz < kPlausibleHz) frequency_hz = from_hypervisor();
    if (frequency_hz < kPlausibleHz) frequency_hz = from_pit();
    if (frequency_hz < kPlausibleHz) frequency_hz = kFallbackHz;
    // 10^9 * 2^32 fits in 64 bits.
    ns_per_tick = (kNsPerSecond << 32) / frequency_hz;
    start_tsc = read_tsc();
    permanent::silence_bound_tsc = frequency_hz * (kSilenceBoundNs / kNsPerSecond);
}

u64 now_ns() {
    u64 now = read_tsc();
    // Another processor's counter may be behind by a little.
    if (now < start_tsc) return 0;
    return static_cast<u64>((u128{now - start_tsc} * ns_per_tick) >> 32);
}

u64 tsc_frequency_hz() { return frequency_hz; }

void busy_wait_ns(u64 duration_ns) {
    u64 end = now_ns() + duration_ns;
    while (now_ns() < end) pause();
}

}  // namespace graft::arch
