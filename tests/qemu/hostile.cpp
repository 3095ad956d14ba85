// A client that means harm: sessions full of 9P messages that are half right, damaged or nonsense, and noise on the
// line between and within them. It minds no answer. The guest must be as it was afterwards, which the test that runs
// this looks at.
//
//   usage: hostile CONNECT SEED SECONDS
//
// The last line is `hostile: sessions=N messages=N answers=N`, bytes of answers.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "formats/ninep.h"
#include "tools/graft/link_stream.h"

namespace {

using namespace graft::tool;
namespace ninep = graft::formats::ninep;
using graft::u16;
using graft::u32;
using graft::u64;
using graft::u8;
using graft::usize;

constexpr usize kMessageMax = 8216;
constexpr u32 kFids = 6;

// Names that are there, that aren't, and that nobody should have.
const std::vector<std::string> kNames = {"",
                                         ".",
                                         "..",
                                         "/",
                                         "version",
                                         "log",
                                         "symbols",
                                         "history",
                                         "plan",
                                         "metrics",
                                         "tasks",
                                         "lingering",
                                         "livepatch",
                                         "1",
                                         "stack",
                                         "fix.klp",
                                         "fix.opt",
                                         "bad/name",
                                         "a b",
                                         "fix-total",
                                         "enabled",
                                         "functions",
                                         "transition",
                                         "force",
                                         "-",
                                         std::string(200, 'n') + ".klp",
                                         std::string(3000, 'x'),
                                         "\xff\xfe\n",
                                         "%s%n"};

class Chance {
public:
    explicit Chance(u64 seed) : engine_(seed) {}

    u64 below(u64 bound) { return engine_() % bound; }
    bool percent(u64 share) { return below(100) < share; }
    u64 number() {
        constexpr std::array<u64, 6> kEdges = {0, 1, 4095, 0x7fff'ffff, 0xffff'ffff, ~u64{0}};
        return percent(60) ? below(9000) : kEdges[below(kEdges.size())];
    }
    u32 fid() { return percent(95) ? static_cast<u32>(below(kFids)) : static_cast<u32>(number()); }
    const std::string& name() { return kNames[below(kNames.size())]; }
    std::span<const std::byte> bytes(usize most) {
        noise_.resize(below(most + 1));
        for (std::byte& byte : noise_) byte = static_cast<std::byte>(engine_());
        return noise_;
    }

private:
    std::mt19937_64 engine_;
    std::vector<std::byte> noise_;
};

ninep::Twalk walk(Chance& chance) {
    ninep::Twalk walk{chance.fid(), chance.fid(), static_cast<u16>(chance.below(4)), {}};
    for (usize i = 0; i < walk.count; ++i) walk.names[i] = chance.name();
    return walk;
}

ninep::Stat stat(Chance& chance) {
    ninep::Stat stat = ninep::Stat::dont_touch();
    if (chance.percent(50)) stat.length = chance.number();
    if (chance.percent(30)) stat.name = chance.name();
    if (chance.percent(30)) stat.mode = static_cast<u32>(chance.number());
    return stat;
}

ninep::Body body(Chance& chance) {
    switch (chance.below(16)) {
        case 0:
            if (chance.percent(5)) return ninep::Tversion{static_cast<u32>(chance.number()), "9P2000.u"};
            return ninep::Tattach{chance.fid(), ninep::kNoFid, "somebody", chance.percent(80) ? "" : chance.name(), 0};
        case 1:
            return ninep::Tauth{chance.fid(), "somebody", chance.name(), 0};
        case 2:
            return ninep::Tflush{static_cast<u16>(chance.below(300))};
        case 3:
        case 4:
        case 5:
            return walk(chance);
        case 6:
        case 7:
            return ninep::Topen{chance.fid(), static_cast<u8>(chance.percent(80) ? chance.below(4) : chance.number())};
        case 8:
            return ninep::Tcreate{chance.fid(), chance.name(), static_cast<u32>(chance.number()),
                                  static_cast<u8>(chance.below(4)), ""};
        case 9:
        case 10:
            return ninep::Tread{chance.fid(), chance.number(), static_cast<u32>(chance.number())};
        case 11:
        case 12:
            return ninep::Twrite{chance.fid(), chance.number(), chance.bytes(chance.percent(20) ? 6000 : 40)};
        case 13:
            return ninep::Tclunk{chance.fid()};
        case 14:
            return ninep::Tremove{chance.fid()};
        default:
            if (chance.percent(50)) return ninep::Tstat{chance.fid()};
            return ninep::Twstat{chance.fid(), stat(chance)};
    }
}

// One message, now and then damaged in any byte or cut. A wrong size field makes the guest end the session.
std::vector<std::byte> message(Chance& chance) {
    std::vector<std::byte> bytes(kMessageMax);
    u16 tag = static_cast<u16>(chance.percent(95) ? chance.below(300) : chance.number());
    auto size = ninep::encode({tag, body(chance)}, ninep::Dialect::with_unix, bytes);
    bytes.resize(size ? *size : 0);
    if (chance.percent(10) && bytes.size() > 4) bytes[4 + chance.below(bytes.size() - 4)] ^= std::byte{1};
    if (chance.percent(1) && !bytes.empty()) bytes[chance.below(4)] ^= static_cast<std::byte>(1 + chance.below(255));
    return bytes;
}

class Hostile {
public:
    Hostile(Connect connect, u64 seed) : connect_(std::move(connect)), chance_(seed) {}

    Outcome<void> run(std::chrono::seconds duration) {
        auto end = std::chrono::steady_clock::now() + duration;
        while (std::chrono::steady_clock::now() < end) {
            if (chance_.percent(30)) GRAFT_CHECK(make_noise());
            GRAFT_CHECK(hold_session());
        }
        fmt::print("hostile: sessions={} messages={} answers={}\n", sessions_, messages_, answers_);
        return {};
    }

private:
    // Bytes on the line that are no frames, or begin like some.
    Outcome<void> make_noise() {
        UniqueFd line = GRAFT_TRY(open_connection(connect_, Deadline{}));
        for (int i = 0; i < 20; ++i) {
            auto bytes = chance_.bytes(300);
            if (::write(line.get(), bytes.data(), bytes.size()) < 0) break;  // full: enough noise
        }
        return {};
    }

    // A session that ends because it is enough, or because the guest has ended it: both are well.
    Outcome<void> hold_session() {
        auto stream = GRAFT_TRY(LinkStream::attach(connect_, Deadline{}));
        ++sessions_;
        if (chance_.percent(95)) {
            say(*stream, {ninep::kNoTag, ninep::Tversion{kMessageMax, "9P2000.u"}});
            say(*stream, {0, ninep::Tattach{0, ninep::kNoFid, "somebody", "", 0}});
        }
        for (u64 left = 20 + chance_.below(400); left > 0; --left) {
            stream->send(message(chance_));
            ++messages_;
            if (stream->unsent() < 16'384) continue;
            if (!take(*stream)) return {};
        }
        for (int i = 0; i < 5; ++i)
            if (!take(*stream)) return {};
        return {};
    }

    void say(LinkStream& stream, const ninep::Message& message) {
        std::array<std::byte, 256> bytes;
        if (auto size = ninep::encode(message, ninep::Dialect::with_unix, bytes))
            stream.send(std::span(bytes).first(*size));
    }

    // False when the session has ended.
    bool take(LinkStream& stream) {
        constexpr u64 kPatienceNs = 50'000'000;
        if (!stream.pump(now_ns() + kPatienceNs)) return false;
        answers_ += stream.received().size();
        stream.consume(stream.received().size());
        return true;
    }

    Connect connect_;
    Chance chance_;
    u64 sessions_ = 0;
    u64 messages_ = 0;
    u64 answers_ = 0;
};

Outcome<void> run(char** arguments) {
    Connect connect = GRAFT_TRY(parse_connect(arguments[1]));
    return Hostile(std::move(connect), std::strtoull(arguments[2], nullptr, 10))
        .run(std::chrono::seconds(std::strtoul(arguments[3], nullptr, 10)));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        fmt::print(stderr, "usage: hostile CONNECT SEED SECONDS\n");
        return 2;
    }
    auto ran = run(argv);
    if (ran) return 0;
    fmt::print(stderr, "hostile: {}\n", ran.error().text);
    return 1;
}
