// The 9P server over the whole control tree: sessions, fids, walking, reading, waiting, malformed messages.
#include "control/server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "control/tree.h"
#include "tests/unit/control_client.h"
#include "tests/unit/control_fake_system.h"

namespace graft::control {
namespace {

using namespace testing;

class ServerTest : public ::testing::Test {
protected:
    ServerTest() : tree(system), server(tree), client(server) {
        EXPECT_TRUE(server.allocate());
        client.attach();
    }

    FakeSystem system;
    ControlTree tree;
    Server server;
    Client client;
};

// ---- Sessions

TEST_F(ServerTest, AgreesOnVersionAndMessageSize) {
    auto answer = client.call(np::Tversion{100'000, "9P2000.u"}, np::kNoTag);
    ASSERT_TRUE(answer && answer->get<np::Rversion>());
    EXPECT_EQ(answer->get<np::Rversion>()->version, "9P2000.u");
    EXPECT_EQ(answer->get<np::Rversion>()->msize, 8216u);
    answer = client.call(np::Tversion{1000, "9P2000.L"}, np::kNoTag);
    EXPECT_EQ(answer->get<np::Rversion>()->version, "9P2000");
    EXPECT_EQ(answer->get<np::Rversion>()->msize, 1000u);
    answer = client.call(np::Tversion{1000, "NFS"}, np::kNoTag);
    EXPECT_EQ(answer->get<np::Rversion>()->version, "unknown");
}

TEST_F(ServerTest, TooSmallMessageSizeIsRefused) {
    EXPECT_EQ(client.try_call(np::Tversion{255, "9P2000.u"}), "msize 255 is less than 256");
}

TEST_F(ServerTest, NothingWithoutAVersion) {
    server.reset();
    Client plain(server, np::Dialect::plain);
    auto answer = plain.call(np::Tattach{0, np::kNoFid, "root", "", 0});
    EXPECT_EQ(answer->error(), "no version has been agreed on");
}

TEST_F(ServerTest, NewVersionDropsAllFids) {
    ASSERT_EQ(client.walk(1, "version"), "");
    client.attach();
    EXPECT_EQ(client.try_call(np::Tstat{1}), "fid 1 is not in use");
}

TEST_F(ServerTest, AuthenticationAndOtherTreesAreRefused) {
    EXPECT_EQ(client.try_call(np::Tauth{5, "root", "", 0}), "no authentication is needed");
    EXPECT_EQ(client.try_call(np::Tattach{5, 6, "root", "", 0}), "no authentication is needed");
    EXPECT_EQ(client.try_call(np::Tattach{5, np::kNoFid, "root", "disk", 0}), "no tree is called disk");
    EXPECT_EQ(client.try_call(np::Tattach{0, np::kNoFid, "root", "", 0}), "fid 0 is in use");
}

TEST_F(ServerTest, WorksWithPlain9P2000) {
    server.reset();
    Client plain(server, np::Dialect::plain);
    plain.attach();
    EXPECT_EQ(plain.cat("version"), "graft\n");
    EXPECT_EQ(plain.cat("nothing"), "<error: file not found>");
    EXPECT_EQ(plain.list("tasks").size(), 2u);
}

TEST_F(ServerTest, ErrorsCarryANumberToo) {
    auto answer = client.call(np::Twalk{0, 1, 1, {"nothing"}});
    ASSERT_TRUE(answer->get<np::Rerror>());
    EXPECT_EQ(answer->get<np::Rerror>()->number, 2u);
}

// ---- Fids and walking

TEST_F(ServerTest, WalksInPartAndLeavesTheNewFidUnused) {
    auto answer = client.call(np::Twalk{0, 1, 3, {"tasks", "2", "nothing"}});
    ASSERT_TRUE(answer->get<np::Rwalk>());
    EXPECT_EQ(answer->get<np::Rwalk>()->count, 2u);
    EXPECT_EQ(client.try_call(np::Tstat{1}), "fid 1 is not in use");
    answer = client.call(np::Twalk{0, 1, 2, {"nothing", "2"}});
    EXPECT_EQ(answer->error(), "file not found");
    answer = client.call(np::Twalk{0, 1, 2, {"version", "x"}});
    EXPECT_EQ(answer->get<np::Rwalk>()->count, 1u);
}

TEST_F(ServerTest, WalkOfNoNamesClonesTheFid) {
    EXPECT_EQ(client.walk(1, ""), "");
    EXPECT_EQ(client.try_call(np::Tstat{1}), "");
    EXPECT_EQ(client.walk(1, ""), "fid 1 is in use");
}

TEST_F(ServerTest, DotDotGoesUpEverywhere) {
    system.add_patch("fix");
    // A file has nothing below it, not even the way up.
    ASSERT_EQ(client.walk(1, "livepatch/fix/enabled"), "");
    EXPECT_EQ(client.try_call(np::Twalk{1, 2, 1, {".."}}), "not a directory");
    ASSERT_EQ(client.try_call(np::Tclunk{1}), "");
    for (const char* path : {"tasks", "tasks/2", "livepatch/fix", "livepatch/fix/functions"}) {
        ASSERT_EQ(client.walk(1, path), "") << path;
        EXPECT_EQ(client.try_call(np::Twalk{1, 1, 1, {".."}}), "") << path;
        auto above = client.call(np::Tstat{1});
        std::string parent(path, std::max(std::string(path).rfind('/') + 1, size_t{1}) - 1);
        std::string name = parent.empty() ? "/" : parent.substr(parent.rfind('/') + 1);
        EXPECT_EQ(above->get<np::Rstat>()->stat.name, name) << path;
        ASSERT_EQ(client.try_call(np::Tclunk{1}), "");
    }
    ASSERT_EQ(client.walk(1, "livepatch/fix/functions/_ZN4demo4workEv,1"), "");
    auto answer = client.call(np::Twalk{1, 1, 5, {"..", "..", "..", "..", ".."}});
    ASSERT_TRUE(answer->get<np::Rwalk>());
    EXPECT_EQ(answer->get<np::Rwalk>()->count, 5u);
    answer = client.call(np::Tstat{1});
    EXPECT_EQ(answer->get<np::Rstat>()->stat.name, "/");
}

TEST_F(ServerTest, QidsTellNodesApartAndStayTheSame) {
    auto first = client.call(np::Twalk{0, 1, 1, {"version"}});
    auto again = client.call(np::Twalk{0, 2, 1, {"version"}});
    auto other = client.call(np::Twalk{0, 3, 1, {"tasks"}});
    EXPECT_EQ(first->get<np::Rwalk>()->qids[0], again->get<np::Rwalk>()->qids[0]);
    EXPECT_NE(first->get<np::Rwalk>()->qids[0].path, other->get<np::Rwalk>()->qids[0].path);
    EXPECT_EQ(first->get<np::Rwalk>()->qids[0].type, 0);
    EXPECT_EQ(other->get<np::Rwalk>()->qids[0].type, np::kQidDirectory);
}

TEST_F(ServerTest, FidsAreLimited) {
    u32 fid = 1;
    std::string error;
    while (error.empty() && fid < 1000) error = client.walk(fid++, "version");
    EXPECT_EQ(error, "too many fids: at most 128");
    EXPECT_EQ(client.try_call(np::Tclunk{1}), "");
    EXPECT_EQ(client.walk(1, "version"), "");
}

TEST_F(ServerTest, OpenFidsAreNotWalkedNorOpenedAgain) {
    ASSERT_EQ(client.open(1, "version", np::kOpenRead), "");
    EXPECT_EQ(client.try_call(np::Topen{1, np::kOpenRead}), "fid 1 is open already");
    EXPECT_EQ(client.try_call(np::Twalk{1, 2, 0, {}}), "fid 1 is open");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "x.klp", 0644, np::kOpenWrite, ""}), "fid 1 is open already");
}

TEST_F(ServerTest, OpenModesAreChecked) {
    EXPECT_EQ(client.open(1, "version", np::kOpenWrite), "version can't be written");
    EXPECT_EQ(client.try_call(np::Topen{1, np::kOpenReadWrite}), "version can't be written");
    EXPECT_EQ(client.try_call(np::Topen{1, np::kOpenExecute}), "version can't be executed");
    EXPECT_EQ(client.try_call(np::Topen{1, np::kOpenRead | np::kOpenTruncate}), "version can't be written");
    EXPECT_EQ(client.try_call(np::Topen{1, np::kOpenRead | np::kOpenRemoveOnClose}), "open mode 0x40 is not supported");
    EXPECT_EQ(client.open(2, "tasks", np::kOpenWrite), "tasks is a directory");
    system.add_patch("fix");
    EXPECT_EQ(client.open(3, "livepatch/fix/unregister", np::kOpenRead), "unregister can't be read");
    ASSERT_EQ(client.open(4, "version", np::kOpenRead), "");
    EXPECT_EQ(client.write(4, 0, "x"), "fid 4 is not open for writing");
    EXPECT_EQ(client.try_call(np::Tread{0, 0, 10}), "fid 0 is not open");
    EXPECT_EQ(client.write(0, 0, "x"), "fid 0 is not open");
}

// ---- Reading

TEST_F(ServerTest, ReadsFilesInPieces) {
    ASSERT_EQ(client.open(1, "version", np::kOpenRead), "");
    EXPECT_EQ(client.read_all(1, 2), "graft\n");
    auto answer = client.call(np::Tread{1, 1000, 10});
    EXPECT_TRUE(answer->get<np::Rread>()->data.empty());
    answer = client.call(np::Tread{1, ~u64{0}, 10});
    EXPECT_TRUE(answer->get<np::Rread>()->data.empty());
}

TEST_F(ServerTest, LargeReadsAreCutAtTheMessageSize) {
    system.symbols.assign(20'000, 's');
    ASSERT_EQ(client.open(1, "symbols", np::kOpenRead), "");
    auto answer = client.call(np::Tread{1, 0, ~u32{0}});
    EXPECT_EQ(answer->bytes.size(), 8216u);
    EXPECT_EQ(client.read_all(1, ~u32{0}).size(), 20'000u);
}

TEST_F(ServerTest, AnOpenListIsASnapshot) {
    ASSERT_EQ(client.open(1, "symbols", np::kOpenRead), "");
    std::string before = system.symbols;
    system.symbols = "changed\n";
    EXPECT_EQ(client.read_all(1, 3), before);
    EXPECT_EQ(client.cat("symbols"), "changed\n");
}

TEST_F(ServerTest, ListsDirectoriesInWholeRecords) {
    std::vector<std::string> expected{"version", "tainted", "log",  "symbols",   "metrics",
                                      "history", "tasks",   "plan", "lingering", "livepatch"};
    EXPECT_EQ(client.list(""), expected);
    EXPECT_EQ(client.list("", 100), expected);
    ASSERT_EQ(client.open(1, "", np::kOpenRead), "");
    EXPECT_EQ(client.try_call(np::Tread{1, 0, 20}), "no directory entry fits into 20 bytes");
    EXPECT_EQ(client.try_call(np::Tread{1, 5, 1000}), "a directory can't be read from offset 5, the next one is 0");
}

TEST_F(ServerTest, AListingIsASnapshotUntilItIsReadFromTheStart) {
    ASSERT_EQ(client.open(1, "tasks", np::kOpenRead), "");
    auto first = client.call(np::Tread{1, 0, 90});
    usize size = first->get<np::Rread>()->data.size();
    ASSERT_GT(size, 0u);
    system.tasks.clear();
    auto second = client.call(np::Tread{1, size, 90});
    EXPECT_EQ(second->get<np::Rread>()->data.size(), size);  // "1" and "2" take the same room
    auto again = client.call(np::Tread{1, 0, 90});
    EXPECT_TRUE(again->get<np::Rread>()->data.empty());
}

// ---- Waiting

TEST_F(ServerTest, AReadAtTheEndOfTheLogWaitsForMore) {
    system.log = {"one", "two"};
    ASSERT_EQ(client.open(1, "log", np::kOpenRead), "");
    EXPECT_EQ(client.read_all(1), "one\ntwo\n<waits>");
    server.poll();
    EXPECT_FALSE(client.receive());
    // Other requests are answered meanwhile.
    EXPECT_EQ(client.try_call(np::Tstat{0}), "tag 1 is in use");
    client.send(np::Tstat{0}, 2);
    EXPECT_TRUE(client.receive()->get<np::Rstat>());
    system.log.push_back("three");
    server.poll();
    auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->message.tag, 1);
    auto data = answer->get<np::Rread>()->data;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()), "three\n");
}

TEST_F(ServerTest, LongLinesAreReadInPieces) {
    system.history = {std::string(1000, 'h'), "end"};
    ASSERT_EQ(client.open(1, "history", np::kOpenRead), "");
    EXPECT_EQ(client.read_all(1, 7), std::string(1000, 'h') + "\nend\n<waits>");
}

TEST_F(ServerTest, FlushEndsAWaitingRead) {
    ASSERT_EQ(client.open(1, "log", np::kOpenRead), "");
    client.send(np::Tread{1, 0, 100}, 5);
    EXPECT_FALSE(client.receive());
    client.send(np::Tflush{5}, 6);
    auto answer = client.receive();
    ASSERT_TRUE(answer && answer->get<np::Rflush>());
    EXPECT_EQ(answer->message.tag, 6);
    system.log.push_back("late");
    server.poll();
    EXPECT_FALSE(client.receive());
    // Nothing was lost by it.
    EXPECT_EQ(client.read_all(1), "late\n<waits>");
}

TEST_F(ServerTest, FlushOfAnAnsweredRequestIsAnswered) {
    client.send(np::Tflush{77}, 6);
    EXPECT_TRUE(client.receive()->get<np::Rflush>());
}

TEST_F(ServerTest, ClunkAnswersTheReadsThatWait) {
    ASSERT_EQ(client.open(1, "log", np::kOpenRead), "");
    client.send(np::Tread{1, 0, 100}, 5);
    client.send(np::Tclunk{1}, 6);
    auto waiting = client.receive();
    ASSERT_TRUE(waiting);
    EXPECT_EQ(waiting->message.tag, 5);
    EXPECT_EQ(waiting->error(), "the file was closed");
    EXPECT_EQ(client.receive()->message.tag, 6);
}

TEST_F(ServerTest, WaitingReadsAreLimited) {
    ASSERT_EQ(client.open(1, "log", np::kOpenRead), "");
    for (u16 tag = 10; tag < 10 + Server::kMaxWaiting; ++tag) {
        client.send(np::Tread{1, 0, 100}, tag);
        ASSERT_FALSE(client.receive());
    }
    client.send(np::Tread{1, 0, 100}, 99);
    EXPECT_EQ(client.receive()->error(), "too many waiting reads: at most 16");
}

TEST_F(ServerTest, AClientThatDoesNotReadOnlyStopsItself) {
    system.symbols.assign(20'000, 's');
    ASSERT_EQ(client.open(1, "symbols", np::kOpenRead), "");
    std::vector<std::byte> request(100);
    auto size = np::encode({1, np::Tread{1, 0, 8000}}, np::Dialect::with_unix, request);
    request.resize(*size);
    usize sent = 0;
    while (server.receive(request) == request.size()) ASSERT_LT(++sent, 10u);
    EXPECT_LE(server.output().size(), 3 * 8216u);
    usize answers = 0;
    while (client.receive()) ++answers, server.poll();
    EXPECT_GE(answers, sent);
}

// ---- Attributes

TEST_F(ServerTest, StatTellsWhatANodeIs) {
    system.add_patch("fix");
    ASSERT_EQ(client.walk(1, "livepatch/fix"), "");
    auto answer = client.call(np::Tstat{1});
    ASSERT_TRUE(answer->get<np::Rstat>());
    EXPECT_EQ(answer->get<np::Rstat>()->stat.name, "fix");
    EXPECT_EQ(answer->get<np::Rstat>()->stat.mode, np::kModeDirectory | 0555u);
    ASSERT_EQ(client.walk(2, "livepatch/fix/enabled"), "");
    answer = client.call(np::Tstat{2});
    EXPECT_EQ(answer->get<np::Rstat>()->stat.mode, 0644u);
}

TEST_F(ServerTest, OnlyTruncationOfWritableFilesIsTaken) {
    system.add_patch("fix");
    np::Stat truncate = np::Stat::dont_touch();
    truncate.length = 0;
    ASSERT_EQ(client.walk(1, "livepatch/fix/enabled"), "");
    EXPECT_EQ(client.try_call(np::Twstat{1, truncate}), "");
    ASSERT_EQ(client.walk(2, "version"), "");
    EXPECT_EQ(client.try_call(np::Twstat{2, truncate}), "the attributes of version can't be changed");
    np::Stat rename = np::Stat::dont_touch();
    rename.name = "other";
    EXPECT_EQ(client.try_call(np::Twstat{1, rename}), "the attributes of enabled can't be changed");
    EXPECT_EQ(client.try_call(np::Twstat{1, np::Stat::dont_touch()}), "");
}

// ---- Malformed messages

TEST_F(ServerTest, MalformedMessageIsAnsweredAndLoggedAndTheSessionGoesOn) {
    const u8 message[] = {11, 0, 0, 0, 122, 9, 0, 1, 0, 0, 0};
    auto bytes = std::as_bytes(std::span(message));
    std::vector<std::byte> bad(bytes.begin(), bytes.end());
    bad[4] = std::byte{99};
    client.send_raw(bad);
    auto answer = client.receive();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->message.tag, 9);
    EXPECT_EQ(answer->error(), "malformed message: no message has type 99");
    ASSERT_EQ(system.notes.size(), 1u);
    EXPECT_EQ(system.notes[0], "malformed message: no message has type 99");
    EXPECT_EQ(client.cat("version"), "graft\n");
}

TEST_F(ServerTest, ARequestMustBeARequest) {
    EXPECT_EQ(client.try_call(np::Rclunk{}), "a reply is not a request");
}

TEST_F(ServerTest, ImpossibleSizesBreakTheStreamWithAnAnswer) {
    for (u32 size : {0u, 6u, 8217u, 0xffffffffu}) {
        server.reset();
        client.attach();
        system.notes.clear();
        std::vector<std::byte> bytes(100);
        std::memcpy(bytes.data(), &size, sizeof(size));
        client.send_raw(bytes);
        EXPECT_TRUE(server.is_broken());
        auto answer = client.receive();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->message.tag, np::kNoTag);
        EXPECT_NE(answer->error().find("message size " + std::to_string(size)), std::string::npos);
        EXPECT_EQ(system.notes.size(), 1u);
    }
    server.reset();
    client.attach();
    EXPECT_EQ(client.cat("version"), "graft\n");
}

TEST_F(ServerTest, BytesMayComeOneByOne) {
    std::vector<std::byte> request(100);
    auto size = np::encode({3, np::Tstat{0}}, np::Dialect::with_unix, request);
    for (usize i = 0; i < *size; ++i) client.send_raw(std::span(request).subspan(i, 1));
    EXPECT_TRUE(client.receive()->get<np::Rstat>());
}

TEST_F(ServerTest, RandomMessagesNeverHurt) {
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        std::vector<std::byte> bytes(7 + random() % 40);
        for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 8 == 0 ? random() : random() % 4);
        u32 size = static_cast<u32>(bytes.size());
        std::memcpy(bytes.data(), &size, sizeof(size));
        bytes[4] = static_cast<std::byte>(100 + 2 * (random() % 14));
        server.receive(bytes);
        server.consume_output(server.output().size());
        server.poll();
        ASSERT_FALSE(server.is_broken());
    }
}

}  // namespace
}  // namespace graft::control
