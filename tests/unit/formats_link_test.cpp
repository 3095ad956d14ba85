// Both ends of the link over a simulated line that loses, doubles, damages and invents, in simulated time.
#include "formats/link.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace graft::formats {
namespace {

using Bytes = std::vector<std::byte>;

struct Faults {
    double lose_frame = 0;
    double double_frame = 0;
    double damage_frame = 0;
    double damage_byte = 0;
    double garbage = 0;
};

// One direction: takes bytes, cuts them into frames, mistreats those and lets them arrive at the line's rate.
class Line {
public:
    Line(std::mt19937& random, Nanoseconds per_byte) : random_(random), per_byte_(per_byte) {}

    Faults faults;
    bool cut = false;

    void send(std::span<const std::byte> bytes, Nanoseconds now) {
        for (std::byte byte : bytes) {
            unit_.push_back(byte);
            if (byte == std::byte{0} && unit_.size() > 1) {
                dispatch(now);
                unit_.clear();
            }
        }
    }

    bool has_room() const { return queued_ < 4096; }
    Nanoseconds next_arrival() const { return arrivals_.empty() ? kNever : arrivals_.front().at; }
    Bytes take(Nanoseconds now) {
        Bytes bytes;
        while (!arrivals_.empty() && arrivals_.front().at <= now) {
            bytes.insert(bytes.end(), arrivals_.front().bytes.begin(), arrivals_.front().bytes.end());
            queued_ -= arrivals_.front().bytes.size();
            arrivals_.pop_front();
        }
        return bytes;
    }
    void drop_all() {
        arrivals_.clear();
        unit_.clear();
        queued_ = 0;
    }

private:
    struct Arrival {
        Nanoseconds at;
        Bytes bytes;
    };

    bool happens(double probability) {
        return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability;
    }

    void dispatch(Nanoseconds now) {
        if (cut) return;
        if (happens(faults.garbage)) {
            Bytes noise(1 + random_() % 200);
            for (auto& byte : noise) byte = static_cast<std::byte>(random_());
            push(noise, now);
        }
        int copies = happens(faults.lose_frame) ? 0 : happens(faults.double_frame) ? 2 : 1;
        for (int copy = 0; copy < copies; ++copy) {
            Bytes bytes = unit_;
            if (happens(faults.damage_frame)) {
                bytes[random_() % bytes.size()] ^= static_cast<std::byte>(1 + random_() % 255);
            }
            for (auto& byte : bytes) {
                if (happens(faults.damage_byte)) byte = static_cast<std::byte>(random_());
            }
            push(bytes, now);
        }
    }

    void push(const Bytes& bytes, Nanoseconds now) {
        free_at_ = std::max(free_at_, now) + per_byte_ * bytes.size();
        arrivals_.push_back({free_at_ + 200'000, bytes});
        queued_ += bytes.size();
    }

    std::mt19937& random_;
    Nanoseconds per_byte_;
    Nanoseconds free_at_ = 0;
    Bytes unit_;
    std::deque<Arrival> arrivals_;
    usize queued_ = 0;
};

// One end with what its user wants to send and has received.
struct Side {
    std::unique_ptr<LinkEndpoint> link;
    Bytes to_write;
    usize written = 0;
    Bytes received;
    usize read_limit = ~usize{0};  // stops reading there: back-pressure
    Bytes to_write_next;           // after a new session has begun
    unsigned restarts = 0;

    // As every user of a link does before it reads or writes.
    void heed_restart() {
        if (!link->take_restart() || ++restarts == 1) return;
        received.clear();
        written = 0;
        to_write = to_write_next;
    }

    void pump() {
        heed_restart();
        if (written < to_write.size()) written += link->write(std::span(to_write).subspan(written));
        std::byte chunk[300];
        while (received.size() < read_limit) {
            usize count = link->read(std::span(chunk).first(std::min(sizeof(chunk), read_limit - received.size())));
            if (count == 0) break;
            received.insert(received.end(), chunk, chunk + count);
        }
    }
};

class World {
public:
    explicit World(unsigned seed, const LinkTimes& link_times = {})
        : random(seed), times(link_times), up(random, 30'000), down(random, 6'000) {
        server.link = std::make_unique<LinkEndpoint>(LinkRole::server, random(), times);
        client.link = std::make_unique<LinkEndpoint>(LinkRole::client, random(), times);
    }

    void faults(const Faults& both) { up.faults = down.faults = both; }

    // Runs until `done` or the limit; false at the limit.
    template <typename Done>
    bool run(Done done, Nanoseconds limit) {
        Nanoseconds end = now + limit;
        while (!done()) {
            Nanoseconds next = std::min({up.next_arrival(), down.next_arrival(), client.link->next_deadline(),
                                         server.link->next_deadline(), end});
            now = std::max(now, next);
            if (now >= end) return false;
            step();
        }
        return true;
    }

    void step() {
        server.link->on_bytes(up.take(now), now);
        client.link->on_bytes(down.take(now), now);
        client.link->on_time(now);
        server.link->on_time(now);
        client.pump();
        server.pump();
        pump_line(*client.link, up);
        pump_line(*server.link, down);
    }

    void pump_line(LinkEndpoint& link, Line& line) {
        std::byte chunk[48];
        while (line.has_room()) {
            usize count = link.bytes_to_send(chunk, now);
            if (count == 0) break;
            line.send(std::span(chunk).first(count), now);
        }
    }

    void attach() {
        client.link->connect(now);
        step();
        ASSERT_TRUE(run([&] { return client.link->state() == LinkState::attached; }, 9'000 * kMillisecond));
    }

    Bytes random_bytes(usize count) {
        Bytes bytes(count);
        for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? 0 : random());
        return bytes;
    }

    bool exchanged() const {
        return server.received.size() >= client.to_write.size() && client.received.size() >= server.to_write.size();
    }

    std::mt19937 random;
    LinkTimes times;
    Nanoseconds now = 1'000'000;
    Line up;
    Line down;
    Side client;
    Side server;
};

TEST(Link, CarriesBothDirectionsOverAGoodLine) {
    World world(1);
    world.attach();
    world.client.to_write = world.random_bytes(100'000);
    world.server.to_write = world.random_bytes(100'000);
    Nanoseconds start = world.now;
    world.step();
    ASSERT_TRUE(world.run([&] { return world.exchanged(); }, 60'000 * kMillisecond));
    EXPECT_EQ(world.server.received, world.client.to_write);
    EXPECT_EQ(world.client.received, world.server.to_write);
    EXPECT_EQ(world.client.link->statistics().data_sent_again, 0u);
    EXPECT_EQ(world.server.link->statistics().data_sent_again, 0u);
    EXPECT_EQ(world.client.link->statistics().beyond_window, 0u);
    // The line alone needs 3.0 s for 100,000 bytes; headers, acks and stuffing may cost a third.
    EXPECT_LT(world.now - start, 4'000 * kMillisecond);
}

void exchange_with(const Faults& faults, unsigned seed, usize bytes, Nanoseconds limit) {
    World world(seed);
    world.faults(faults);
    world.attach();
    world.client.to_write = world.random_bytes(bytes);
    world.server.to_write = world.random_bytes(bytes);
    world.step();
    ASSERT_TRUE(world.run([&] { return world.exchanged(); }, limit)) << "seed " << seed;
    ASSERT_EQ(world.server.received, world.client.to_write) << "seed " << seed;
    ASSERT_EQ(world.client.received, world.server.to_write) << "seed " << seed;
    ASSERT_EQ(world.server.link->statistics().sessions, 1u);
}

TEST(Link, OnePercentOfBadFrames) {
    exchange_with({.lose_frame = 0.01, .double_frame = 0.01, .damage_frame = 0.01}, 2, 100'000, 10'000 * kMillisecond);
}
TEST(Link, TenPercentOfEachKindOfBadFrame) {
    exchange_with({.lose_frame = 0.1, .double_frame = 0.1, .damage_frame = 0.1, .garbage = 0.1}, 3, 100'000,
                  30'000 * kMillisecond);
}
TEST(Link, OnePercentOfDamagedBytes) {
    exchange_with({.damage_byte = 0.01}, 4, 40'000, 60'000 * kMillisecond);
}
TEST(Link, HalfOfTheFramesLost) {
    exchange_with({.lose_frame = 0.5}, 5, 20'000, 120'000 * kMillisecond);
}

TEST(Link, SendsAgainOnlyWhatWasLost) {
    World world(6);
    world.faults({.lose_frame = 0.05});
    world.attach();
    world.client.to_write = world.random_bytes(200'000);
    world.step();
    ASSERT_TRUE(world.run([&] { return world.exchanged(); }, 60'000 * kMillisecond));
    EXPECT_EQ(world.server.link->statistics().duplicates, 0u);
    EXPECT_GT(world.client.link->statistics().data_sent_again, 50u);
}

TEST(Link, ManySmallRandomSchedules) {
    for (unsigned seed = 0; seed < 10'000; ++seed) {
        std::mt19937 random(seed);
        auto rate = [&] { return random() % 2 == 0 ? 0.0 : (random() % 2 == 0 ? 0.01 : 0.1); };
        Faults faults{.lose_frame = rate(),
                      .double_frame = rate(),
                      .damage_frame = rate(),
                      .damage_byte = random() % 8 == 0 ? 0.01 : 0.0,
                      .garbage = rate()};
        exchange_with(faults, seed, random() % 1500, 60'000 * kMillisecond);
        if (::testing::Test::HasFatalFailure()) return;
    }
}

TEST(Link, ReaderThatStopsHoldsTheWriterAndLosesNothing) {
    World world(7);
    world.faults({.lose_frame = 0.02});
    world.attach();
    world.client.to_write = world.random_bytes(50'000);
    world.server.read_limit = 1000;
    world.step();
    ASSERT_FALSE(world.run([&] { return world.exchanged(); }, 30'000 * kMillisecond));
    EXPECT_EQ(world.client.link->state(), LinkState::attached);
    EXPECT_EQ(world.server.received.size(), 1000u);
    EXPECT_LT(world.client.written, 20'000u);
    EXPECT_EQ(world.server.link->statistics().beyond_window, 0u);
    // Held for 30 s: the pings have backed off to one a second.
    EXPECT_LT(world.client.link->statistics().pings_sent, 60u);
    world.server.read_limit = ~usize{0};
    world.faults({});
    world.step();
    // The reader tells that there is room again; the writer needn't find out by its next ping.
    ASSERT_TRUE(world.run([&] { return world.server.received.size() > 15'000; }, 350 * kMillisecond));
    ASSERT_TRUE(world.run([&] { return world.exchanged(); }, 30'000 * kMillisecond));
    EXPECT_EQ(world.server.received, world.client.to_write);
}

TEST(Link, IdleSessionLivesAndCostsLittle) {
    World world(8);
    world.attach();
    ASSERT_FALSE(world.run([] { return false; }, 60'000 * kMillisecond));
    EXPECT_EQ(world.client.link->state(), LinkState::attached);
    EXPECT_EQ(world.server.link->state(), LinkState::attached);
    EXPECT_LT(world.client.link->statistics().frames_sent, 200u);
}

TEST(Link, NothingAtTheOtherEnd) {
    World world(9);
    world.up.cut = true;
    world.client.link->connect(world.now);
    world.step();
    ASSERT_TRUE(world.run([&] { return world.client.link->state() == LinkState::ended; }, 20'000 * kMillisecond));
    EXPECT_EQ(world.client.link->end(), LinkEnd::no_answer);
    EXPECT_EQ(world.server.link->next_deadline(), kNever);
}

TEST(Link, LineThatGoesDeadEndsBothSides) {
    World world(10);
    world.attach();
    world.client.to_write = world.random_bytes(20'000);
    world.step();
    world.run([] { return false; }, 100 * kMillisecond);
    world.up.cut = world.down.cut = true;
    ASSERT_TRUE(world.run(
        [&] {
            return world.client.link->state() == LinkState::ended && world.server.link->state() == LinkState::ended;
        },
        15'000 * kMillisecond));
    EXPECT_EQ(world.client.link->end(), LinkEnd::dead);
    EXPECT_EQ(world.server.link->end(), LinkEnd::dead);
}

TEST(Link, RebootOfTheServerIsNoticedByTheClient) {
    World world(11);
    world.attach();
    world.client.to_write = world.random_bytes(20'000);
    world.step();
    world.run([] { return false; }, 100 * kMillisecond);
    world.server.link = std::make_unique<LinkEndpoint>(LinkRole::server, world.random(), world.times);
    world.server.received.clear();
    world.server.restarts = 0;
    ASSERT_TRUE(world.run([&] { return world.client.link->state() == LinkState::ended; }, 5'000 * kMillisecond));
    EXPECT_EQ(world.client.link->end(), LinkEnd::unknown_session);
    // Frames of before the reboot reached nobody; a new session starts clean.
    EXPECT_TRUE(world.server.received.empty());
    world.client.to_write = world.random_bytes(5'000);
    world.client.written = 0;
    world.client.restarts = 0;
    world.attach();
    world.step();
    ASSERT_TRUE(world.run([&] { return world.exchanged(); }, 10'000 * kMillisecond));
    EXPECT_EQ(world.server.received, world.client.to_write);
}

TEST(Link, NewClientReplacesOneThatVanishedInTheMiddle) {
    for (unsigned seed = 0; seed < 300; ++seed) {
        World world(seed);
        world.faults({.lose_frame = 0.05, .double_frame = 0.05, .damage_frame = 0.05});
        world.attach();
        if (::testing::Test::HasFatalFailure()) return;
        ASSERT_EQ(world.server.restarts, 1u);
        world.client.to_write = world.random_bytes(20'000);
        world.server.to_write = world.random_bytes(20'000);
        world.step();
        world.run([] { return false; }, (20 + seed) * kMillisecond);
        // The former client's bytes are still on their way when the new one says hello.
        world.client.link = std::make_unique<LinkEndpoint>(LinkRole::client, world.random(), world.times);
        world.client.received.clear();
        world.client.to_write = world.random_bytes(3'000);
        world.client.written = 0;
        world.client.link->connect(world.now);
        Bytes answer = world.random_bytes(3'000);
        world.server.to_write_next = answer;
        world.client.restarts = 0;
        ASSERT_TRUE(world.run([&] { return world.server.restarts == 2 && world.exchanged(); }, 60'000 * kMillisecond));
        ASSERT_EQ(world.server.received, world.client.to_write) << seed;
        ASSERT_EQ(world.client.received, answer) << seed;
    }
}

TEST(Link, FormerClientIsTold) {
    World world(12);
    world.attach();
    auto former = std::move(world.client.link);
    world.client.link = std::make_unique<LinkEndpoint>(LinkRole::client, world.random(), world.times);
    world.attach();
    world.down.drop_all();
    former->on_time(world.now + 2'000 * kMillisecond);
    std::byte chunk[256];
    usize count = former->bytes_to_send(chunk, world.now);
    ASSERT_GT(count, 0u);
    world.server.link->on_bytes(std::span(chunk).first(count), world.now);
    count = world.server.link->bytes_to_send(chunk, world.now);
    former->on_bytes(std::span(chunk).first(count), world.now);
    EXPECT_EQ(former->state(), LinkState::ended);
    EXPECT_EQ(former->end(), LinkEnd::replaced);
    EXPECT_EQ(world.server.link->state(), LinkState::attached);
}

TEST(Link, CloseDeliversWhatWasWritten) {
    for (unsigned seed = 0; seed < 200; ++seed) {
        World world(seed);
        world.faults({.lose_frame = 0.1});
        world.attach();
        world.client.to_write = world.random_bytes(5'000);
        world.step();
        ASSERT_EQ(world.client.written, 5'000u);
        world.client.link->close(world.now);
        EXPECT_EQ(world.client.link->write(world.client.to_write), 0u);
        ASSERT_TRUE(world.run([&] { return world.client.link->state() == LinkState::ended; }, 20'000 * kMillisecond));
        EXPECT_EQ(world.client.link->end(), LinkEnd::closed);
        ASSERT_EQ(world.server.received, world.client.to_write);
        EXPECT_EQ(world.server.link->state(), LinkState::ended);
        EXPECT_EQ(world.server.link->end(), LinkEnd::closed_by_peer);
    }
}

TEST(Link, OtherVersionIsRefused) {
    LinkEndpoint server(LinkRole::server, 1);
    std::byte version[1] = {std::byte{99}};
    Frame hello;
    hello.type = FrameType::hello;
    hello.epoch = 5;
    hello.payload = version;
    std::array<std::byte, kFrameWireMax> wire;
    server.on_bytes(std::span(wire).first(encode_frame(hello, wire)), 1);
    EXPECT_EQ(server.state(), LinkState::idle);
    std::byte answer[kFrameWireMax];
    usize count = server.bytes_to_send(answer, 1);
    FrameDecoder decoder;
    std::optional<Frame> reset;
    for (usize i = 0; i < count; ++i) {
        if (auto frame = decoder.push(answer[i])) reset = frame;
    }
    ASSERT_TRUE(reset);
    EXPECT_EQ(reset->type, FrameType::reset);
    EXPECT_EQ(reset->epoch, 5u);
}

TEST(Link, OwnEchoIsIgnored) {
    LinkEndpoint client(LinkRole::client, 1);
    client.connect(1);
    std::byte wire[kFrameWireMax];
    usize count = client.bytes_to_send(wire, 1);
    client.on_bytes(std::span(wire).first(count), 2);
    EXPECT_EQ(client.state(), LinkState::connecting);
    EXPECT_EQ(client.statistics().void_frames, 1u);
}

TEST(Link, OwnDataComingBackIsIgnored) {
    World world(13);
    world.attach();
    Bytes data = world.random_bytes(50);
    world.client.link->write(data);
    std::byte wire[kFrameWireMax];
    usize count = world.client.link->bytes_to_send(wire, world.now);
    ASSERT_GT(count, data.size());
    u64 valid = world.client.link->statistics().frames_received;
    world.client.link->on_bytes(std::span(wire).first(count), world.now);
    EXPECT_FALSE(world.client.link->can_read());
    EXPECT_EQ(world.client.link->statistics().frames_received, valid);
}

TEST(Link, AHoleIsToldAtOnce) {
    World world(14);
    world.attach();
    std::byte wire[kFrameWireMax];
    world.client.link->write(world.random_bytes(2 * kFramePayloadMax));
    usize lost = world.client.link->bytes_to_send(wire, world.now);
    ASSERT_GT(lost, kFramePayloadMax);
    usize count = world.client.link->bytes_to_send(wire, world.now);
    world.server.link->on_bytes(std::span(wire).first(count), world.now);
    count = world.server.link->bytes_to_send(wire, world.now);
    ASSERT_GT(count, 0u);
    world.client.link->on_bytes(std::span(wire).first(count), world.now);
    EXPECT_GT(world.client.link->bytes_to_send(wire, world.now), kFramePayloadMax);
    EXPECT_EQ(world.client.link->statistics().data_sent_again, 1u);
}

}  // namespace
}  // namespace graft::formats
