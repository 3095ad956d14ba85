// Uart16550: a serial port with FIFOs, interrupt-driven in both directions through rings of bytes. The handler moves
// bytes between FIFO and rings and wakes whoever waits; nothing else.
//
// Received bytes that find the ring full are dropped and counted: who can't lose any has a protocol that repeats them.
// [ns16550, National Semiconductor PC16550D data sheet, June 1995]
//
// Locking: the port's own spinlock. Context: tasks, unless a method says otherwise.
#pragma once

#include <span>
#include <string_view>

#include "base/types.h"
#include "drivers/byte_ring.h"
#include "kernel/console.h"
#include "kernel/mutex.h"
#include "kernel/wait_queue.h"

namespace graft::drivers {

// Where a PC has its ports, and their lines.
inline constexpr u16 kCom1Port = 0x3f8;
inline constexpr u8 kCom1Irq = 4;
inline constexpr u16 kCom2Port = 0x2f8;
inline constexpr u8 kCom2Irq = 3;

struct UartStatistics {
    u64 received = 0;
    u64 sent = 0;
    u64 dropped = 0;   // the receive ring was full
    u64 overruns = 0;  // the chip's FIFO was full
    u64 interrupts = 0;
};

class Uart16550 final : public kernel::ConsoleDevice {
public:
    static constexpr usize kRingCapacity = 16 * 1024;

    Uart16550(u16 port, u8 irq) : port_(port), irq_(irq) {}
    Uart16550(const Uart16550&) = delete;
    Uart16550& operator=(const Uart16550&) = delete;

    // Sets the chip up (115200 baud, 8N1, FIFO trigger 14) and claims its line. False when no chip answers or its line
    // can't be routed. The object must stay for good. Context: boot or task, once.
    [[nodiscard]] bool start();

    // ---- bytes, never waiting. Context: any; no lock of rank device or above.
    usize read(std::span<u8> into);
    usize write_some(std::span<const u8> from);
    usize readable();
    usize writable();

    // ---- waiting. False at the deadline.
    bool wait_readable(u64 deadline_ns = kernel::kNever);
    // Until at least `count` bytes have room.
    bool wait_writable(usize count, u64 deadline_ns = kernel::kNever);
    // Returns when bytes have come or gone since the last call, after wake_event(), or at the deadline: for a service
    // that looks after both ends in one round.
    void wait_event(u64 deadline_ns);
    // Ends wait_event() early. Context: any; no lock of rank device or above.
    void wake_event();

    // ---- the console
    void write(std::string_view text) override;
    void flush() override;

    UartStatistics statistics();

private:
    static void on_interrupt(void* argument);
    void handle_interrupt();
    void receive();
    void transmit();
    void write_whole(std::span<const u8> bytes);
    bool chip_is_idle() const;
    u8 in(u16 reg) const;
    void out(u16 reg, u8 value) const;

    const u16 port_;
    const u8 irq_;
    kernel::Mutex console_;  // keeps a text in one piece

    kernel::SpinLock lock_{kernel::LockRank::device};
    // ---- lock_
    ByteRing<kRingCapacity> in_;
    ByteRing<kRingCapacity> out_;
    kernel::WaitQueue readers_;
    kernel::WaitQueue writers_;
    kernel::WaitQueue events_;
    bool event_ = false;
    bool transmit_interrupt_ = false;  // enabled in the chip
    UartStatistics statistics_;
};

}  // namespace graft::drivers
