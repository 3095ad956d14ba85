#include "formats/ninep.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace graft::formats::ninep {
namespace {

using Bytes = std::vector<std::byte>;

Stat sample_stat() {
    Stat stat;
    stat.type = 1;
    stat.device = 2;
    stat.qid = {kQidDirectory, 3, 4};
    stat.mode = kModeDirectory | 0555;
    stat.accessed = 5;
    stat.modified = 6;
    stat.length = 7;
    stat.name = "name";
    stat.user = "user";
    stat.group = "group";
    stat.modifier = "modifier";
    return stat;
}

std::vector<Message> samples() {
    static const Bytes data(5, std::byte{0x42});
    Twalk walk{1, 2, 3, {}};
    walk.names = {"livepatch", "fix", ""};
    Rwalk walked{2, {}};
    walked.qids = {Qid{1, 2, 3}, Qid{4, 5, 6}};
    return {
        {kNoTag, Tversion{8192, "9P2000.u"}},
        {kNoTag, Rversion{8192, "9P2000"}},
        {1, Tauth{9, "user", "tree", kNoUser}},
        {1, Rauth{Qid{1, 2, 3}}},
        {1, Tattach{1, kNoFid, "user", "tree", kNoUser}},
        {1, Rattach{Qid{kQidDirectory, 0, 1}}},
        {1, Rerror{"file not found", 0}},
        {1, Tflush{7}},
        {1, Rflush{}},
        {1, walk},
        {1, walked},
        {1, Topen{1, kOpenReadWrite}},
        {1, Ropen{Qid{1, 2, 3}, 8000}},
        {1, Tcreate{1, "fix.klp", 0644, kOpenWrite, ""}},
        {1, Rcreate{Qid{1, 2, 3}, 8000}},
        {1, Tread{1, u64{1} << 40, 100}},
        {1, Rread{data}},
        {1, Twrite{1, 12, data}},
        {1, Rwrite{5}},
        {1, Tclunk{1}},
        {1, Rclunk{}},
        {1, Tremove{1}},
        {1, Rremove{}},
        {1, Tstat{1}},
        {1, Rstat{sample_stat()}},
        {1, Twstat{1, Stat::dont_touch()}},
        {1, Rwstat{}},
    };
}

Bytes encoded(const Message& message, Dialect dialect) {
    Bytes out(4096);
    auto size = encode(message, dialect, out);
    EXPECT_TRUE(size.has_value());
    out.resize(*size);
    return out;
}

std::string text_of(const CodecError& error) {
    Text<256> text;
    describe(error, text);
    EXPECT_FALSE(text.truncated());
    return std::string(text.view());
}

CodecError refusal(std::span<const std::byte> bytes, Dialect dialect = Dialect::with_unix) {
    auto message = decode(bytes, dialect);
    EXPECT_FALSE(message.has_value());
    return message ? CodecError{} : message.error();
}

TEST(NineP, EveryMessageComesBackInBothDialects) {
    for (Dialect dialect : {Dialect::plain, Dialect::with_unix}) {
        auto messages = samples();
        ASSERT_EQ(messages.size(), std::variant_size_v<Body>);
        for (usize i = 0; i < messages.size(); ++i) {
            ASSERT_EQ(messages[i].body.index(), i);
            Bytes bytes = encoded(messages[i], dialect);
            auto decoded = decode(bytes, dialect);
            ASSERT_TRUE(decoded.has_value()) << i << ": " << text_of(decoded.error());
            EXPECT_EQ(decoded->tag, messages[i].tag);
            EXPECT_EQ(decoded->body.index(), i);
            EXPECT_EQ(encoded(*decoded, dialect), bytes) << i;
        }
    }
}

TEST(NineP, FieldsLieWhereTheyBelong) {
    Bytes bytes = encoded({0x0102, Tread{0x03040506, 0x1122334455667788, 0x0a0b0c0d}}, Dialect::plain);
    const u8 expected[] = {23,   0,    0,    0,    116,  2,    1,    6,    5,    4,    3,   0x88,
                           0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x0d, 0x0c, 0x0b, 0x0a};
    ASSERT_EQ(bytes.size(), sizeof(expected));
    EXPECT_EQ(std::memcmp(bytes.data(), expected, sizeof(expected)), 0);
}

TEST(NineP, EachMessageCutAnywhereIsRefused) {
    for (Dialect dialect : {Dialect::plain, Dialect::with_unix}) {
        for (const Message& message : samples()) {
            Bytes whole = encoded(message, dialect);
            for (usize length = 0; length < whole.size(); ++length) {
                Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
                if (length >= 4) {
                    u32 size = static_cast<u32>(length);
                    std::memcpy(cut.data(), &size, sizeof(size));
                }
                auto decoded = decode(cut, dialect);
                ASSERT_FALSE(decoded.has_value()) << message.body.index() << " cut to " << length;
                EXPECT_FALSE(text_of(decoded.error()).empty());
            }
        }
    }
}

TEST(NineP, SizeFieldMustFit) {
    Bytes bytes = encoded({1, Tclunk{1}}, Dialect::plain);
    bytes[0] = std::byte{12};
    CodecError error = refusal(bytes);
    EXPECT_EQ(error.code, CodecError::Code::size_field);
    EXPECT_EQ(text_of(error), "size field says 12, the message has 11 bytes");
}

TEST(NineP, TrailingBytesAreRefused) {
    Bytes bytes = encoded({1, Tclunk{1}}, Dialect::plain);
    bytes.push_back(std::byte{0});
    bytes[0] = std::byte{12};
    EXPECT_EQ(refusal(bytes).code, CodecError::Code::trailing);
}

TEST(NineP, UnknownTypesAreRefused) {
    for (unsigned type : {0u, 99u, 106u, 128u, 255u}) {
        Bytes bytes = encoded({1, Tclunk{1}}, Dialect::plain);
        bytes[4] = static_cast<std::byte>(type);
        EXPECT_EQ(refusal(bytes).code, CodecError::Code::unknown_type);
        EXPECT_EQ(text_of(refusal(bytes)), "no message has type " + std::to_string(type));
    }
}

TEST(NineP, TooManyNamesAreRefused) {
    Bytes bytes = encoded({1, Twalk{1, 2, 0, {}}}, Dialect::plain);
    bytes[15] = std::byte{17};
    EXPECT_EQ(text_of(refusal(bytes)), "nwname is 17, at most 16 are allowed");
}

TEST(NineP, TextWithZeroByteIsRefused) {
    Bytes bytes = encoded({1, Tcreate{1, "abc", 0, 0, ""}}, Dialect::with_unix);
    bytes[14] = std::byte{0};
    EXPECT_EQ(text_of(refusal(bytes)), "name contains a zero byte at offset 14");
}

TEST(NineP, StatSizesMustAgree) {
    Bytes bytes = encoded({1, Twstat{1, sample_stat()}}, Dialect::with_unix);
    Bytes outer = bytes;
    outer[11] ^= std::byte{1};
    EXPECT_EQ(refusal(outer).code, CodecError::Code::bad_stat_size);
    Bytes inner = bytes;
    inner[13] ^= std::byte{1};
    EXPECT_EQ(refusal(inner).code, CodecError::Code::bad_stat_size);
}

TEST(NineP, CountBeyondTheMessageIsRefused) {
    Bytes data(3, std::byte{1});
    Bytes bytes = encoded({1, Twrite{1, 0, data}}, Dialect::plain);
    bytes[19] = bytes[20] = bytes[21] = bytes[22] = std::byte{0xff};
    CodecError error = refusal(bytes);
    EXPECT_EQ(error.code, CodecError::Code::truncated);
    EXPECT_EQ(error.found, 3u);
    EXPECT_EQ(error.expected, 0xffffffffu);
}

TEST(NineP, EncodingNeverOverruns) {
    for (const Message& message : samples()) {
        Bytes whole = encoded(message, Dialect::with_unix);
        for (usize room = 0; room < whole.size(); ++room) {
            Bytes small(room);
            auto size = encode(message, Dialect::with_unix, small);
            ASSERT_FALSE(size.has_value());
            EXPECT_EQ(size.error().code, CodecError::Code::no_room);
        }
    }
}

TEST(NineP, DontTouchIsRecognised) {
    Stat stat = Stat::dont_touch();
    EXPECT_TRUE(stat.touches_nothing());
    stat.length = 0;
    EXPECT_FALSE(stat.touches_nothing());
    stat = Stat::dont_touch();
    stat.name = "x";
    EXPECT_FALSE(stat.touches_nothing());
    stat = Stat::dont_touch();
    stat.mode = 0644;
    EXPECT_FALSE(stat.touches_nothing());
}

TEST(NineP, DirectoryRecordsComeBackOneByOne) {
    Bytes listing(1024);
    Writer writer(listing);
    Stat first = sample_stat();
    Stat second = sample_stat();
    second.name = "other";
    encode_stat(first, Dialect::with_unix, writer);
    encode_stat(second, Dialect::with_unix, writer);
    std::span<const std::byte> rest = writer.written();
    usize size = 0;
    auto stat = decode_stat(rest, Dialect::with_unix, size);
    ASSERT_TRUE(stat.has_value());
    EXPECT_EQ(stat->name, "name");
    rest = rest.subspan(size);
    stat = decode_stat(rest, Dialect::with_unix, size);
    ASSERT_TRUE(stat.has_value());
    EXPECT_EQ(stat->name, "other");
    EXPECT_EQ(size, rest.size());
}

TEST(NineP, RandomBytesAreRefusedOrComeBack) {
    std::mt19937 random(1);
    auto messages = samples();
    for (int round = 0; round < 200'000; ++round) {
        Dialect dialect = random() % 2 == 0 ? Dialect::plain : Dialect::with_unix;
        Bytes bytes = encoded(messages[random() % messages.size()], dialect);
        for (unsigned changes = random() % 4; changes > 0; --changes) {
            bytes[4 + random() % (bytes.size() - 4)] = static_cast<std::byte>(random());
        }
        if (auto decoded = decode(bytes, dialect)) {
            ASSERT_EQ(encoded(*decoded, dialect), bytes);
        }
    }
}

}  // namespace
}  // namespace graft::formats::ninep
