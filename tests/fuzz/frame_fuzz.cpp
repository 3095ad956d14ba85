// The serial frame and the link above it: the input is what arrives on the line at both kinds of ends. Whatever comes,
// nothing may break, and a whole frame comes back as it was.
#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "formats/frame.h"
#include "formats/link.h"

namespace {

using namespace graft;
using namespace graft::formats;

void check_frame(const Frame& frame) {
    std::array<std::byte, kFrameWireMax> wire;
    usize length = encode_frame(frame, wire);
    FrameDecoder decoder;
    for (usize i = 0; i < length; ++i) {
        auto again = decoder.push(wire[i]);
        if (again && i + 1 != length) std::abort();
        if (!again && i + 1 == length) std::abort();
        if (again && !std::ranges::equal(again->payload, frame.payload)) std::abort();
    }
}

void feed(LinkEndpoint& link, std::span<const std::byte> bytes) {
    Nanoseconds now = 1;
    std::byte out[256];
    while (!bytes.empty()) {
        usize count = std::min<usize>(bytes.size(), 64);
        link.on_bytes(bytes.first(count), now);
        bytes = bytes.subspan(count);
        link.write(std::span(out).first(16));
        link.bytes_to_send(out, now);
        link.read(out);
        now += 30 * kMillisecond;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto bytes = std::as_bytes(std::span(data, size));
    FrameDecoder decoder;
    for (std::byte byte : bytes) {
        if (auto frame = decoder.push(byte)) check_frame(*frame);
    }
    // The input as the payload of frames with good checksums, so that the link itself is reached.
    if (size >= 16) {
        LinkEndpoint server(LinkRole::server, 1);
        std::byte version{kLinkVersion};
        std::array<std::byte, kFrameWireMax> wire;
        Frame hello{.type = FrameType::hello, .epoch = 9, .payload = {&version, 1}};
        server.on_bytes(std::span(wire).first(encode_frame(hello, wire)), 1);
        // The epoch of the session that client 9 and server 2 have, taken from the welcome's answer.
        std::byte out[512];
        server.write(bytes.first(4));
        usize count = server.bytes_to_send(out, 1);
        u32 epoch = 0;
        FrameDecoder from_server;
        for (usize i = 0; i < count; ++i) {
            auto frame = from_server.push(out[i]);
            if (frame && frame->type == FrameType::data) epoch = frame->epoch;
        }
        Nanoseconds now = 2;
        while (bytes.size() >= 16) {
            auto at = [&](usize i) { return static_cast<u8>(bytes[i]); };
            Frame frame;
            frame.type = static_cast<FrameType>(1 + at(0) % 7);
            frame.epoch = epoch;
            frame.sequence = static_cast<u16>(at(1) | (at(2) << 8));
            frame.transmission = static_cast<u16>(at(3) | (at(4) << 8));
            frame.ack = static_cast<u16>(at(5) | (at(6) << 8));
            frame.echo = static_cast<u16>(at(7));
            frame.window = at(8);
            usize payload = std::min<usize>({at(9) % (kFramePayloadMax + 1u), bytes.size() - 10});
            frame.payload = bytes.subspan(10, payload);
            server.on_bytes(std::span(wire).first(encode_frame(frame, wire)), now);
            server.write(frame.payload);
            server.bytes_to_send(out, now);
            if (at(0) % 3 == 0) server.read(out);
            now += u64{at(10)} * kMillisecond;
            bytes = bytes.subspan(10 + payload);
        }
    }
    LinkEndpoint client(LinkRole::client, 3);
    client.connect(1);
    feed(client, std::as_bytes(std::span(data, size)));
    return 0;
}
