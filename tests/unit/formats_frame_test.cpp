#include "formats/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "formats/crc32.h"

namespace graft::formats {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}

Frame sample(std::span<const std::byte> payload) {
    Frame frame;
    frame.type = FrameType::data;
    frame.from_server = true;
    frame.epoch = 0x00ff0100;
    frame.sequence = 0x0100;
    frame.transmission = 7;
    frame.ack = 0xffff;
    frame.echo = 3;
    frame.window = 64;
    frame.payload = payload;
    return frame;
}

std::vector<std::byte> encode(const Frame& frame) {
    std::array<std::byte, kFrameWireMax> wire;
    usize length = encode_frame(frame, wire);
    return {wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(length)};
}

// Every frame that the decoder gives for `bytes`, as payloads.
std::vector<std::vector<std::byte>> decode(FrameDecoder& decoder, std::span<const std::byte> bytes) {
    std::vector<std::vector<std::byte>> payloads;
    for (std::byte byte : bytes) {
        if (auto frame = decoder.push(byte)) payloads.emplace_back(frame->payload.begin(), frame->payload.end());
    }
    return payloads;
}

TEST(Crc32, KnownValue) {
    EXPECT_EQ(crc32(bytes_of("123456789")), 0xcbf43926u);
}

TEST(Frame, ComesBackAsItWas) {
    auto payload = bytes_of("hello");
    Frame sent = sample(payload);
    FrameDecoder decoder;
    std::optional<Frame> received;
    for (std::byte byte : encode(sent)) {
        if (auto frame = decoder.push(byte)) received = frame;
    }
    ASSERT_TRUE(received);
    EXPECT_EQ(received->type, sent.type);
    EXPECT_EQ(received->from_server, sent.from_server);
    EXPECT_EQ(received->epoch, sent.epoch);
    EXPECT_EQ(received->sequence, sent.sequence);
    EXPECT_EQ(received->transmission, sent.transmission);
    EXPECT_EQ(received->ack, sent.ack);
    EXPECT_EQ(received->echo, sent.echo);
    EXPECT_EQ(received->window, sent.window);
    EXPECT_EQ(decoder.statistics().frames, 1u);
}

TEST(Frame, EveryLengthAndContentFitsTheWire) {
    std::mt19937 random(1);
    FrameDecoder decoder;
    for (usize length = 0; length <= kFramePayloadMax; ++length) {
        for (int fill = 0; fill < 3; ++fill) {
            std::vector<std::byte> payload(length);
            for (auto& byte : payload) byte = static_cast<std::byte>(fill == 0 ? 0 : fill == 1 ? 0xff : random());
            auto wire = encode(sample(payload));
            ASSERT_LE(wire.size(), kFrameWireMax);
            for (usize i = 1; i + 1 < wire.size(); ++i) ASSERT_NE(wire[i], std::byte{0});
            auto payloads = decode(decoder, wire);
            ASSERT_EQ(payloads.size(), 1u);
            ASSERT_EQ(payloads[0], payload);
        }
    }
    std::vector<std::byte> longest(kFramePayloadMax);
    EXPECT_EQ(encode(sample(longest)).size(), kFrameWireMax);
}

TEST(Frame, AnyDamagedByteIsNoticed) {
    auto payload = bytes_of("some payload of a frame");
    auto wire = encode(sample(payload));
    for (usize position = 1; position + 1 < wire.size(); ++position) {
        for (unsigned change = 1; change < 256; ++change) {
            auto damaged = wire;
            damaged[position] ^= static_cast<std::byte>(change);
            FrameDecoder decoder;
            ASSERT_TRUE(decode(decoder, damaged).empty()) << position << " " << change;
        }
    }
}

TEST(Frame, GarbageBeforeAndBetweenSpoilsNothing) {
    std::mt19937 random(2);
    auto payload = bytes_of("payload");
    auto wire = encode(sample(payload));
    FrameDecoder decoder;
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::byte> line(random() % 300);
        for (auto& byte : line) byte = static_cast<std::byte>(random());
        line.insert(line.end(), wire.begin(), wire.end());
        auto payloads = decode(decoder, line);
        ASSERT_EQ(payloads.size(), 1u);
        ASSERT_EQ(payloads[0], payload);
    }
}

TEST(Frame, EachKindOfDamageHasItsCounter) {
    auto wire = encode(sample(bytes_of("x")));
    const std::byte zero{0};
    {
        FrameDecoder decoder;
        std::vector<std::byte> line(kFrameWireMax + 10, std::byte{1});
        line.push_back(zero);
        decode(decoder, line);
        EXPECT_EQ(decoder.statistics().too_long, 1u);
    }
    {
        FrameDecoder decoder;
        decode(decoder, std::vector<std::byte>{std::byte{9}, std::byte{1}, zero});
        EXPECT_EQ(decoder.statistics().bad_stuffing, 1u);
    }
    {
        FrameDecoder decoder;
        decode(decoder, std::vector<std::byte>{std::byte{3}, std::byte{1}, std::byte{2}, zero});
        EXPECT_EQ(decoder.statistics().too_short, 1u);
    }
    {
        FrameDecoder decoder;
        auto damaged = wire;
        damaged[2] ^= std::byte{0x10};
        decode(decoder, damaged);
        EXPECT_EQ(decoder.statistics().bad_checksum, 1u);
    }
    {
        FrameDecoder decoder;
        Frame frame = sample({});
        frame.type = static_cast<FrameType>(0x7f);
        decode(decoder, encode(frame));
        EXPECT_EQ(decoder.statistics().bad_type, 1u);
    }
}

}  // namespace
}  // namespace graft::formats
