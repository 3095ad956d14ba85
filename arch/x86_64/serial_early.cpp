#include "arch/x86_64/serial_early.h"

#include "arch/x86_64/cpu.h"
#include "base/types.h"

namespace graft::arch {

namespace {

// National Semiconductor PC16550D data sheet, registers from the base port on.
constexpr u16 kBase = 0x3f8;
constexpr u16 kInterruptEnable = kBase + 1;
constexpr u16 kFifoControl = kBase + 2;
constexpr u16 kLineControl = kBase + 3;
constexpr u16 kModemControl = kBase + 4;
constexpr u16 kLineStatus = kBase + 5;
constexpr u8 kTransmitterEmpty = 1u << 5;
constexpr u32 kPatience = 100'000;  // looks at the status: some 10 ms on hardware

void write_byte(u8 value) {
    for (u32 turn = 0; turn < kPatience && !(in8(kLineStatus) & kTransmitterEmpty); ++turn) pause();
    out8(kBase, value);
}

}  // namespace

void init_early_serial() {
    out8(kInterruptEnable, 0);
    out8(kLineControl, 0x80);  // the divisor shows at the first two registers
    out8(kBase, 1);            // 115200 baud
    out8(kBase + 1, 0);
    out8(kLineControl, 0x03);  // 8 data bits, no parity, one stop bit
    out8(kFifoControl, 0x07);  // FIFOs on and emptied
    out8(kModemControl, 0x03);
}

void early_write(std::string_view text) {
    for (char character : text) {
        if (character == '\n') write_byte('\r');
        write_byte(static_cast<u8>(character));
    }
}

}  // namespace graft::arch
