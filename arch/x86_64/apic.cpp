// The local APIC: enabling and the timer. Acknowledgement, and the messages of rounds, are permanent
// code (permanent/apic_write.cpp).

#include "arch/x86_64/apic.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/percpu.h"
#include "arch/x86_64/permanent/state.h"
#include "base/assert.h"

namespace graft::arch {

using namespace permanent;

namespace {

constexpr u64 kApicEnable = 1u << 11;  // IA32_APIC_BASE [intel/vol3 §10.4.4]
constexpr u64 kX2ApicEnable = 1u << 10;
constexpr u32 kSoftwareEnable = 1u << 8;  // spurious vector register [intel/vol3 §10.9]
constexpr u32 kMasked = 1u << 16;
constexpr u32 kTimerPeriodic = 1u << 17;
constexpr u32 kDivideBy16 = 0x3;  // [intel/vol3 figure 10-10]
constexpr u64 kCalibrationNs = 10'000'000;
constexpr u64 kNsPerSecond = 1'000'000'000;

u64 timer_hz;

bool has_x2apic() {
    return (cpuid(1).ecx & 1u << 21) != 0;
}

void silence_8259s() {
    // ICW1 … ICW4: moves their vectors away from the exceptions', then everything is masked.
    out8(0x20, 0x11);
    out8(0xa0, 0x11);
    out8(0x21, kVectorLegacyBase);
    out8(0xa1, kVectorLegacyBase + 8);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
}

void start_timer(u64 ns, u32 mode) {
    u64 ticks = ns > kNsPerSecond * 3600 ? ~u64{0} : ns * timer_hz / kNsPerSecond;
    if (ticks == 0) ticks = 1;
    if (ticks > 0xffff'ffff) ticks = 0xffff'ffff;
    write_apic(kApicTimer, kVectorTimer | mode);
    write_apic(kApicTimerInitial, static_cast<u32>(ticks));
}

u32 local_apic_id() {
    u32 id = read_apic(kApicId);
    return is_x2apic ? id : id >> 24;
}

struct Sample {
    u64 time_ns;
    u32 count;
};

// Clock and counter at one moment: the closest pair of several, for an emulator may be held up between the two reads.
Sample take_sample() {
    constexpr int kTries = 8;
    Sample best{};
    u64 best_width = ~u64{0};
    for (int attempt = 0; attempt < kTries; ++attempt) {
        u64 before = now_ns();
        u32 count = read_apic(kApicTimerCurrent);
        u64 width = now_ns() - before;
        if (width >= best_width) continue;
        best_width = width;
        best = {before + width / 2, count};
    }
    return best;
}

}  // namespace

void send_interrupt(u32 processor_index, u32 vector) {
    send_command(processors[processor_index]->apic_id, kCommandFixed | vector);
}

void init_local_apic(PhysAddr address) {
    silence_8259s();
    is_x2apic = has_x2apic();
    if (!is_x2apic) {
        VirtAddr registers = map_mmio(address, kPageSize);
        GRAFT_ASSERT(registers);
        local_apic = registers.as<volatile u32>();
    }
    enable_local_apic();
    this_cpu().apic_id = local_apic_id();
}

void enable_local_apic() {
    u64 base = read_msr(kMsrApicBase) | kApicEnable;
    write_msr(kMsrApicBase, base);
    if (is_x2apic) write_msr(kMsrApicBase, base | kX2ApicEnable);
    write_apic(kApicTaskPriority, 0);
    write_apic(kApicLint0, kMasked);
    write_apic(kApicLint1, kMasked);
    write_apic(kApicError, kMasked);
    write_apic(kApicTimer, kMasked);
    write_apic(kApicTimerDivide, kDivideBy16);
    write_apic(kApicSpurious, kSoftwareEnable | kVectorSpurious);
}

void calibrate_timer() {
    InterruptsOff off;
    write_apic(kApicTimer, kMasked);
    write_apic(kApicTimerInitial, 0xffff'ffff);
    Sample first = take_sample();
    busy_wait_ns(kCalibrationNs);
    Sample last = take_sample();
    write_apic(kApicTimerInitial, 0);
    GRAFT_ASSERT(last.time_ns > first.time_ns);
    timer_hz = u64{first.count - last.count} * kNsPerSecond / (last.time_ns - first.time_ns);
    GRAFT_ASSERT(timer_hz != 0);
}

void set_timer(u64 delay_ns) {
    start_timer(delay_ns, 0);
}
void set_periodic_timer(u64 period_ns) {
    start_timer(period_ns, kTimerPeriodic);
}
void stop_timer() {
    write_apic(kApicTimer, kMasked);
    write_apic(kApicTimerInitial, 0);
}

}  // namespace graft::arch
