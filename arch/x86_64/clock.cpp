#include "arch/x86_64/clock.h"

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/sync.h"

namespace graft::arch {

namespace {

__extension__ using u128 = unsigned __int128;

constexpr u64 kNsPerSecond = 1'000'000'000;
constexpr u64 kPlausibleHz = 100'000'000;  // a slower answer is none

// 8254 channel 0, which every machine with an 8254 lets run (channel 2 hangs on a port that small machines lack). Its
// interrupt is masked [intel 8254 data sheet].
constexpr u64 kPitHz = 1'193'182;
constexpr u16 kPitChannel0 = 0x40;
constexpr u16 kPitCommand = 0x43;
constexpr u8 kPitCountDown = 0x30;  // channel 0, both bytes, mode 0
constexpr u8 kPitLatch = 0x00;
constexpr u32 kPitTicks = 11'932;  // 10 ms
// When nothing tells: time runs at a wrong rate, but it runs.
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

struct Sample {
    u64 tsc;
    u32 count;
};

u32 read_pit() {
    out8(kPitCommand, kPitLatch);
    u32 low = in8(kPitChannel0);
    return low | u32{in8(kPitChannel0)} << 8;
}

// Both counters at one moment. An emulator may be held up between the two reads: the closest pair of several counts.
Sample take_sample() {
    constexpr int kTries = 8;
    Sample best{};
    u64 best_width = ~u64{0};
    for (int attempt = 0; attempt < kTries; ++attempt) {
        u64 before = read_tsc();
        u32 count = read_pit();
        u64 width = read_tsc() - before;
        if (width >= best_width) continue;
        best_width = width;
        best = {before + width / 2, count};
    }
    return best;
}

u64 from_pit() {
    constexpr u32 kPatience = 1'000'000;
    out8(kPitCommand, kPitCountDown);
    out8(kPitChannel0, 0xff);
    out8(kPitChannel0, 0xff);
    // The first count is loaded with the next tick.
    u32 turn = 0;
    while (read_pit() > 0xff00 && turn < kPatience) ++turn;
    Sample first = take_sample();
    while (first.count - read_pit() < kPitTicks && turn < kPatience) ++turn;
    Sample last = take_sample();
    if (turn == kPatience || last.count >= first.count) return 0;
    return (last.tsc - first.tsc) * kPitHz / (first.count - last.count);
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

u64 tsc_frequency_hz() {
    return frequency_hz;
}

void busy_wait_ns(u64 duration_ns) {
    u64 end = now_ns() + duration_ns;
    while (now_ns() < end) pause();
}

}  // namespace graft::arch
