#include "formats/frame.h"

#include "base/assert.h"
#include "base/reader.h"
#include "base/writer.h"
#include "formats/crc32.h"

namespace graft::formats {

namespace {

constexpr u8 kFromServer = 0x80;

// Stuffs `raw` into `out` without delimiters: each run of non-zero bytes is preceded by its length plus one, which
// stands for the zero that ends it. `out` has room for one byte more than `raw`, which is shorter than 254 bytes.
usize stuff(std::span<const std::byte> raw, std::span<std::byte> out) {
    usize code = 0;
    usize end = 1;
    for (std::byte byte : raw) {
        if (byte == std::byte{0}) {
            out[code] = static_cast<std::byte>(end - code);
            code = end++;
        } else {
            out[end++] = byte;
        }
    }
    out[code] = static_cast<std::byte>(end - code);
    return end;
}

bool is_known(u8 type) {
    return type >= static_cast<u8>(FrameType::hello) && type <= static_cast<u8>(FrameType::reset);
}

}  // namespace

usize encode_frame(const Frame& frame, std::span<std::byte, kFrameWireMax> out) {
    GRAFT_ASSERT(frame.payload.size() <= kFramePayloadMax);
    std::array<std::byte, kFrameRawMax> raw;
    Writer writer(raw);
    writer.write(static_cast<u8>(static_cast<u8>(frame.type) | (frame.from_server ? kFromServer : 0)));
    writer.write(frame.epoch);
    writer.write(frame.sequence);
    writer.write(frame.transmission);
    writer.write(frame.ack);
    writer.write(frame.echo);
    writer.write(frame.window);
    writer.write_bytes(frame.payload);
    writer.write(crc32(writer.written()));
    out[0] = std::byte{0};
    usize stuffed = stuff(writer.written(), out.subspan(1));
    out[1 + stuffed] = std::byte{0};
    return stuffed + 2;
}

std::optional<Frame> FrameDecoder::push(std::byte byte) {
    if (byte == std::byte{0}) {
        auto frame = finish();
        length_ = 0;
        overflowed_ = false;
        return frame;
    }
    if (length_ == bytes_.size()) {
        overflowed_ = true;
        return std::nullopt;
    }
    bytes_[length_++] = byte;
    return std::nullopt;
}

// Removes the stuffing in place; the result is one byte shorter.
bool FrameDecoder::unstuff() {
    usize from = 0;
    usize to = 0;
    while (from < length_) {
        usize code = static_cast<usize>(bytes_[from++]);
        if (code - 1 > length_ - from) return false;
        for (usize i = 1; i < code; ++i) bytes_[to++] = bytes_[from++];
        if (from < length_) bytes_[to++] = std::byte{0};
    }
    length_ = to;
    return true;
}

std::optional<Frame> FrameDecoder::finish() {
    if (length_ == 0) return std::nullopt;
    if (overflowed_ || length_ > kFrameRawMax + 1) {
        ++statistics_.too_long;
        return std::nullopt;
    }
    if (!unstuff()) {
        ++statistics_.bad_stuffing;
        return std::nullopt;
    }
    if (length_ < kFrameHeaderSize + kFrameChecksumSize) {
        ++statistics_.too_short;
        return std::nullopt;
    }
    std::span<const std::byte> raw(bytes_.data(), length_);
    auto covered = raw.first(length_ - kFrameChecksumSize);
    Reader reader(raw);
    u8 type = reader.read<u8>();
    Frame frame;
    frame.from_server = (type & kFromServer) != 0;
    frame.epoch = reader.read<u32>();
    frame.sequence = reader.read<u16>();
    frame.transmission = reader.read<u16>();
    frame.ack = reader.read<u16>();
    frame.echo = reader.read<u16>();
    frame.window = reader.read<u8>();
    frame.payload = reader.take(covered.size() - kFrameHeaderSize);
    if (reader.read<u32>() != crc32(covered)) {
        ++statistics_.bad_checksum;
        return std::nullopt;
    }
    type &= static_cast<u8>(~kFromServer);
    if (!is_known(type)) {
        ++statistics_.bad_type;
        return std::nullopt;
    }
    frame.type = static_cast<FrameType>(type);
    ++statistics_.frames;
    return frame;
}

}  // namespace graft::formats
