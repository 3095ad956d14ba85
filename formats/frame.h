// Frames on a line of bytes: the lower half of the serial link (docs/reference/link.md).
//
// On the wire a frame is  00 <COBS of the raw frame> 00.  Consistent overhead byte stuffing removes every zero byte
// from the raw frame, so a zero is always a delimiter: whatever happened before, the decoder is in step again at the
// next one. The leading delimiter keeps garbage between two frames from spoiling the second.
//
// The raw frame, little-endian:
//
//   offset 0   u8   type; bit 7 set: sent by the server
//          1   u32  epoch: which session the frame belongs to
//          5   u16  sequence: of a data frame, its place in the stream; else 0
//          7   u16  transmission: of data and ping frames, counts what this side has sent; sent again, a frame
//                    gets a new number; of other frames, the latest number given
//          9   u16  ack: the next sequence number that the sender of this frame expects
//          11  u16  echo: the latest transmission number that the sender of this frame has received
//          13  u8   window: how many data frames from `ack` on the sender of this frame has room for
//          14       payload, at most kFramePayloadMax bytes
//          end u32  CRC-32 of all before it
//
// Pure: no I/O, no allocation, no time. Not synchronised; any context.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/types.h"

namespace graft::formats {

inline constexpr usize kFrameWireMax = 128;
inline constexpr usize kFrameHeaderSize = 14;
inline constexpr usize kFrameChecksumSize = 4;
// Two delimiters and one byte of stuffing: a run of less than 254 bytes without a zero costs no more.
inline constexpr usize kFrameRawMax = kFrameWireMax - 3;
inline constexpr usize kFramePayloadMax = kFrameRawMax - kFrameHeaderSize - kFrameChecksumSize;

enum class FrameType : u8 {
    hello = 1,    // client: opens a session; epoch is the client's, payload: protocol version (u8)
    welcome = 2,  // server: answers it; epoch is the client's, payload: protocol version (u8), server's epoch (u32)
    data = 3,     // payload: bytes of the stream, at least one
    ack = 4,      // payload: bit i of a u64 is set when data frame ack+1+i has been received
    ping = 5,     // asks for an ack
    close = 6,    // all data has been acknowledged and no more follows
    reset = 7,    // there is no session of this epoch; payload: reason (u8)
};

struct Frame {
    FrameType type = FrameType::data;
    bool from_server = false;
    u32 epoch = 0;
    u16 sequence = 0;
    u16 transmission = 0;
    u16 ack = 0;
    u16 echo = 0;
    u8 window = 0;
    std::span<const std::byte> payload;
};

// The frame's bytes on the wire, their number returned. The payload has at most kFramePayloadMax bytes (asserted).
usize encode_frame(const Frame& frame, std::span<std::byte, kFrameWireMax> out);

struct FrameStatistics {
    u64 frames = 0;
    u64 bad_checksum = 0;  // the checksum does not fit the bytes
    u64 bad_stuffing = 0;  // a stuffing code points past the frame's end
    u64 too_short = 0;     // less than header and checksum
    u64 too_long = 0;      // no delimiter within kFrameWireMax bytes
    u64 bad_type = 0;      // whole, but of no known type
};

// Takes the line byte by byte and gives each whole, undamaged frame; everything else only counts.
class FrameDecoder {
public:
    // The frame that `byte` completes. Its payload lies in the decoder and is valid until the next push().
    std::optional<Frame> push(std::byte byte);
    const FrameStatistics& statistics() const { return statistics_; }

private:
    std::optional<Frame> finish();
    bool unstuff();

    std::array<std::byte, kFrameWireMax> bytes_{};
    usize length_ = 0;
    bool overflowed_ = false;
    FrameStatistics statistics_;
};

}  // namespace graft::formats
