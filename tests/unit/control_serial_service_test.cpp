// The whole way of a client: link and 9P over a device that is slow, lossy and sometimes full.
#include "control/serial_service.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>

#include "formats/ninep.h"
#include "tests/unit/control_fake_system.h"

namespace graft::control {
namespace {

using namespace testing;
namespace np = formats::ninep;
using formats::kMillisecond;
using formats::LinkEndpoint;
using formats::LinkRole;
using formats::LinkState;

// A port of 16 bytes in each direction.
class FakeDevice final : public ByteDevice {
public:
    std::deque<std::byte> to_guest;
    std::deque<std::byte> from_guest;

    usize read(std::span<std::byte> out) override {
        usize count = std::min({out.size(), to_guest.size(), usize{16}});
        for (usize i = 0; i < count; ++i) {
            out[i] = to_guest.front();
            to_guest.pop_front();
        }
        return count;
    }
    usize room() override { return from_guest.size() < 16 ? 16 - from_guest.size() : 0; }
    void write(std::span<const std::byte> bytes) override {
        ASSERT_LE(bytes.size(), room());
        from_guest.insert(from_guest.end(), bytes.begin(), bytes.end());
    }
};

class ServiceTest : public ::testing::Test {
protected:
    ServiceTest() : service(device, system, 77), client(std::make_unique<LinkEndpoint>(LinkRole::client, 5)) {
        EXPECT_TRUE(service.allocate());
    }

    void step() {
        now += kMillisecond / 2;
        deadline = service.service_round(now);
        for (int i = 0; i < 16 && !device.from_guest.empty(); ++i) {
            std::byte byte = device.from_guest.front();
            device.from_guest.pop_front();
            if (damage > 0 && random() % damage == 0) byte ^= std::byte{0x55};
            client->on_bytes({&byte, 1}, now);
        }
        std::byte bytes[32];
        usize count = client->bytes_to_send(bytes, now);
        for (usize i = 0; i < count; ++i) {
            bool is_damaged = damage > 0 && random() % damage == 0;
            device.to_guest.push_back(is_damaged ? bytes[i] ^ std::byte{0x55} : bytes[i]);
        }
    }

    template <typename Done>
    bool run(Done done, unsigned limit_ms = 30'000) {
        for (unsigned i = 0; i < limit_ms * 2; ++i) {
            if (done()) return true;
            step();
        }
        return done();
    }

    void attach() {
        client->connect(now);
        ASSERT_TRUE(run([&] { return client->state() == LinkState::attached; }));
        call(np::Tversion{8216, "9P2000.u"});
        call(np::Tattach{0, np::kNoFid, "root", "", 0});
    }

    // The reply's type, or 0 when none came.
    u8 call(const np::Body& body, u16 tag = 1) {
        std::vector<std::byte> bytes(10'000);
        auto size = np::encode({tag, body}, np::Dialect::with_unix, bytes);
        bytes.resize(*size);
        usize sent = 0;
        std::vector<std::byte> reply;
        run([&] {
            if (sent < bytes.size()) sent += client->write(std::span(bytes).subspan(sent));
            std::byte chunk[256];
            while (usize count = client->read(chunk)) reply.insert(reply.end(), chunk, chunk + count);
            u32 expected = ~u32{0};
            if (reply.size() >= 4) std::memcpy(&expected, reply.data(), 4);
            return reply.size() >= expected;
        });
        last_reply = reply;
        return reply.size() < 7 ? 0 : static_cast<u8>(reply[4]);
    }

    u8 expect(np::Type type) { return static_cast<u8>(type); }

    std::mt19937 random{1};
    unsigned damage = 0;  // one byte of so many
    u64 now = 1;
    u64 deadline = 0;
    FakeDevice device;
    FakeSystem system;
    SerialService service;
    std::unique_ptr<LinkEndpoint> client;
    std::vector<std::byte> last_reply;
};

TEST_F(ServiceTest, LoadsAPatchOverABadLine) {
    damage = 500;
    attach();
    EXPECT_EQ(call(np::Twalk{0, 1, 1, {"livepatch"}}), expect(np::Type::rwalk));
    EXPECT_EQ(call(np::Tcreate{1, "fix.klp", 0644, 1, ""}), expect(np::Type::rcreate));
    std::string content(30'000, '\0');
    for (char& byte : content) byte = static_cast<char>(random());
    for (usize offset = 0; offset < content.size(); offset += 8000) {
        auto part = std::as_bytes(std::span(content)).subspan(offset, std::min<usize>(8000, content.size() - offset));
        ASSERT_EQ(call(np::Twrite{1, offset, part}), expect(np::Type::rwrite));
    }
    EXPECT_EQ(call(np::Twstat{1, np::Stat::dont_touch()}), expect(np::Type::rwstat));
    EXPECT_EQ(system.loaded_bytes, content);
}

TEST_F(ServiceTest, AWaitingReadIsAnsweredWhenThereIsMore) {
    attach();
    EXPECT_EQ(call(np::Twalk{0, 1, 1, {"history"}}), expect(np::Type::rwalk));
    EXPECT_EQ(call(np::Topen{1, 0}), expect(np::Type::ropen));
    std::vector<std::byte> request(100);
    auto size = np::encode({9, np::Tread{1, 0, 1000}}, np::Dialect::with_unix, request);
    client->write(std::span(request).first(*size));
    EXPECT_FALSE(run([&] { return client->can_read(); }, 3000));
    system.history.push_back("loaded fix");
    EXPECT_TRUE(run([&] { return client->can_read(); }, 100));
}

TEST_F(ServiceTest, ANewClientFindsNothingOfTheFormerOne) {
    attach();
    call(np::Twalk{0, 1, 1, {"livepatch"}});
    EXPECT_EQ(call(np::Tcreate{1, "fix.klp", 0644, 1, ""}), expect(np::Type::rcreate));
    std::byte byte{1};
    EXPECT_EQ(call(np::Twrite{1, 0, {&byte, 1}}), expect(np::Type::rwrite));
    // Half a message is under way when the client vanishes.
    std::byte half[] = {std::byte{200}, std::byte{0}, std::byte{0}};
    client->write(half);
    step();
    client = std::make_unique<LinkEndpoint>(LinkRole::client, 99);
    attach();
    EXPECT_EQ(call(np::Twalk{0, 1, 2, {"livepatch", "fix.klp"}}), expect(np::Type::rwalk));
    auto walked = np::decode(last_reply, np::Dialect::with_unix);
    EXPECT_EQ(std::get_if<np::Rwalk>(&walked->body)->count, 1u);
    EXPECT_TRUE(system.loads.empty());
}

TEST_F(ServiceTest, ABrokenStreamIsClosedAfterItsAnswer) {
    attach();
    std::byte bad[] = {std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0}};
    client->write(bad);
    ASSERT_TRUE(run([&] { return client->state() == LinkState::ended; }, 3000));
    EXPECT_EQ(client->end(), formats::LinkEnd::closed_by_peer);
    std::byte reply[256];
    usize count = client->read(reply);
    auto message = np::decode(std::span(reply).first(count), np::Dialect::with_unix);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(std::get_if<np::Rerror>(&message->body)->text, "message size 1 is less than the 7 bytes of a header");
    attach();
    EXPECT_EQ(call(np::Tstat{0}), expect(np::Type::rstat));
}

TEST_F(ServiceTest, WithoutAClientNothingIsToBeDone) {
    step();
    EXPECT_EQ(deadline, formats::kNever);
    for (int i = 0; i < 10'000; ++i) device.to_guest.push_back(static_cast<std::byte>(random()));
    for (int i = 0; i < 100; ++i) step();
    EXPECT_TRUE(device.to_guest.empty());
    EXPECT_TRUE(device.from_guest.empty());
    EXPECT_EQ(deadline, formats::kNever);
}

}  // namespace
}  // namespace graft::control
