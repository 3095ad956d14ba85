#include "drivers/uart16550.h"

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "kernel/interrupts.h"

namespace graft::drivers {

namespace {

using kernel::IrqsAlreadyOff;
using kernel::IrqSave;
using kernel::SpinGuard;
using kernel::WaitResult;

// Registers, as offsets from the port [ns16550 table II].
constexpr u16 kData = 0;             // divisor's low byte while the access bit is set
constexpr u16 kInterruptEnable = 1;  // divisor's high byte
constexpr u16 kInterruptIdent = 2;   // read
constexpr u16 kFifoControl = 2;      // write
constexpr u16 kLineControl = 3;
constexpr u16 kModemControl = 4;
constexpr u16 kLineStatus = 5;
constexpr u16 kScratch = 7;

constexpr u8 kEnableReceive = 0x01;
constexpr u8 kEnableTransmit = 0x02;
constexpr u8 kEnableLineStatus = 0x04;
constexpr u8 kNoInterrupt = 0x01;
constexpr u8 kFifoOnCleared14 = 0xc7;  // on, both cleared, trigger at 14 bytes
constexpr u8 kDivisorAccess = 0x80;
constexpr u8 k8N1 = 0x03;
constexpr u8 kModemLinesAndIrq = 0x0b;  // DTR, RTS, OUT2: OUT2 gates the interrupt line on a PC
constexpr u8 kDataReady = 0x01;
constexpr u8 kOverrun = 0x02;
constexpr u8 kTransmitEmpty = 0x20;  // the FIFO
constexpr u8 kTransmitIdle = 0x40;   // the FIFO and the shift register
constexpr usize kFifoSize = 16;
constexpr u8 kDivisor = 1;  // 115200 baud
// The handler's bound: interrupts are off meanwhile.
constexpr u32 kMaxRounds = 64;

}  // namespace

u8 Uart16550::in(u16 reg) const {
    return arch::in8(static_cast<u16>(port_ + reg));
}
void Uart16550::out(u16 reg, u8 value) const {
    arch::out8(static_cast<u16>(port_ + reg), value);
}

bool Uart16550::start() {
    constexpr u8 kProbe = 0x5a;
    out(kScratch, kProbe);
    if (in(kScratch) != kProbe) return false;
    out(kInterruptEnable, 0);
    out(kLineControl, kDivisorAccess);
    out(kData, kDivisor);
    out(kInterruptEnable, 0);
    out(kLineControl, k8N1);
    out(kFifoControl, kFifoOnCleared14);
    if (!kernel::claim_legacy_interrupt(irq_, on_interrupt, this)) return false;
    out(kModemControl, kModemLinesAndIrq);
    SpinGuard<IrqSave> guard(lock_);
    out(kInterruptEnable, kEnableReceive | kEnableLineStatus);
    return true;
}

// ---- the interrupt ----

void Uart16550::on_interrupt(void* argument) {
    static_cast<Uart16550*>(argument)->handle_interrupt();
}

// The line is edge-triggered: the chip must have no cause left when the handler ends, or no edge comes again. When
// causes keep coming for longer than the handler may stay, dropping and giving the enables makes a new edge for what is
// left.
void Uart16550::handle_interrupt() {
    SpinGuard<IrqsAlreadyOff> guard(lock_);
    ++statistics_.interrupts;
    for (u32 round = 0; round < kMaxRounds; ++round) {
        if ((in(kInterruptIdent)&kNoInterrupt) != 0) return;
        receive();
        transmit();
    }
    u8 enabled = in(kInterruptEnable);
    out(kInterruptEnable, 0);
    out(kInterruptEnable, enabled);
}

// Lock: lock_.
void Uart16550::receive() {
    bool any = false;
    for (;;) {
        u8 status = in(kLineStatus);
        if ((status & kOverrun) != 0) ++statistics_.overruns;
        if ((status & kDataReady) == 0) break;
        u8 byte = in(kData);
        any = true;
        if (in_.push(byte)) {
            ++statistics_.received;
        } else {
            ++statistics_.dropped;
        }
    }
    if (!any) return;
    readers_.wake_all();
    event_ = true;
    events_.wake_all();
}

// Fills the FIFO when it is empty, and has the chip say when it is so again, as long as there is more. Lock: lock_.
void Uart16550::transmit() {
    if ((in(kLineStatus)&kTransmitEmpty) != 0) {
        usize count = 0;
        for (; count < kFifoSize && !out_.empty(); ++count) out(kData, out_.pop());
        statistics_.sent += count;
        if (count != 0) {
            writers_.wake_all();
            event_ = true;
            events_.wake_all();
        }
    }
    bool wanted = !out_.empty();
    if (wanted == transmit_interrupt_) return;
    transmit_interrupt_ = wanted;
    u8 enabled = kEnableReceive | kEnableLineStatus;
    if (wanted) enabled |= kEnableTransmit;
    out(kInterruptEnable, enabled);
}

bool Uart16550::chip_is_idle() const {
    return (in(kLineStatus)&kTransmitIdle) != 0;
}

// ---- bytes ----

usize Uart16550::read(std::span<u8> into) {
    SpinGuard<IrqSave> guard(lock_);
    return in_.read(into);
}

usize Uart16550::write_some(std::span<const u8> from) {
    SpinGuard<IrqSave> guard(lock_);
    usize count = out_.write(from);
    transmit();
    return count;
}

usize Uart16550::readable() {
    SpinGuard<IrqSave> guard(lock_);
    return in_.size();
}

usize Uart16550::writable() {
    SpinGuard<IrqSave> guard(lock_);
    return out_.room();
}

// ---- waiting ----

bool Uart16550::wait_readable(u64 deadline_ns) {
    SpinGuard<IrqSave> guard(lock_);
    while (in_.empty()) {
        if (readers_.wait(guard, deadline_ns) == WaitResult::timed_out) return !in_.empty();
    }
    return true;
}

bool Uart16550::wait_writable(usize count, u64 deadline_ns) {
    SpinGuard<IrqSave> guard(lock_);
    while (out_.room() < count) {
        if (writers_.wait(guard, deadline_ns) == WaitResult::timed_out) return out_.room() >= count;
    }
    return true;
}

void Uart16550::wait_event(u64 deadline_ns) {
    SpinGuard<IrqSave> guard(lock_);
    while (!event_) {
        if (events_.wait(guard, deadline_ns) == WaitResult::timed_out) break;
    }
    event_ = false;
}

void Uart16550::wake_event() {
    SpinGuard<IrqSave> guard(lock_);
    event_ = true;
    events_.wake_all();
}

// ---- the console ----

void Uart16550::write_whole(std::span<const u8> bytes) {
    while (!bytes.empty()) {
        usize count = write_some(bytes);
        bytes = bytes.subspan(count);
        if (!bytes.empty()) wait_writable(1);
    }
}

void Uart16550::write(std::string_view text) {
    kernel::MutexGuard whole(console_);
    auto* bytes = reinterpret_cast<const u8*>(text.data());
    usize begin = 0;
    constexpr u8 kLineEnd[] = {'\r', '\n'};
    for (usize i = 0; i < text.size(); ++i) {
        if (text[i] != '\n') continue;
        write_whole({bytes + begin, i - begin});
        write_whole(kLineEnd);
        begin = i + 1;
    }
    write_whole({bytes + begin, text.size() - begin});
}

void Uart16550::flush() {
    kernel::MutexGuard whole(console_);
    {
        SpinGuard<IrqSave> guard(lock_);
        while (!out_.empty()) writers_.wait(guard);
    }
    // The last 16 bytes and the one being shifted: 1.5 ms at 115200 baud, far less in an emulator.
    while (!chip_is_idle()) kernel::yield();
}

UartStatistics Uart16550::statistics() {
    SpinGuard<IrqSave> guard(lock_);
    return statistics_;
}

}  // namespace graft::drivers
