// What the control tree shows and what its files do.
#include "control/tree.h"

#include <gtest/gtest.h>

#include "control/server.h"
#include "tests/unit/control_client.h"
#include "tests/unit/control_fake_system.h"

namespace graft::control {
namespace {

using namespace testing;
using Names = std::vector<std::string>;

class TreeTest : public ::testing::Test {
protected:
    TreeTest() : tree(system), server(tree), client(server) {
        EXPECT_TRUE(server.allocate());
        client.attach();
    }

    // Creates /livepatch/<name> under `fid` and writes the content.
    std::string upload(u32 fid, const std::string& name, const std::string& content) {
        std::string error = client.walk(fid, "livepatch");
        if (error.empty()) error = client.try_call(np::Tcreate{fid, name, 0644, np::kOpenWrite, ""});
        for (usize offset = 0; error.empty() && offset < content.size(); offset += 8000) {
            error = client.write(fid, offset, content.substr(offset, 8000));
        }
        return error;
    }
    std::string sync(u32 fid) { return client.try_call(np::Twstat{fid, np::Stat::dont_touch()}); }
    std::string clunk(u32 fid) { return client.try_call(np::Tclunk{fid}); }

    FakeSystem system;
    ControlTree tree;
    Server server;
    Client client;
};

TEST_F(TreeTest, RootFiles) {
    EXPECT_EQ(client.cat("version"), "graft\n");
    EXPECT_EQ(client.cat("tainted"), "0\n");
    EXPECT_EQ(client.cat("metrics"), "graft_patches 0\n");
    EXPECT_EQ(client.cat("symbols"), system.symbols);
}

TEST_F(TreeTest, Tasks) {
    EXPECT_EQ(client.list("tasks"), (Names{"1", "2"}));
    EXPECT_EQ(client.list("tasks/2"), (Names{"name", "state", "cpu", "priority", "patch_state", "stack", "moves"}));
    EXPECT_EQ(client.cat("tasks/2/name"), "worker\n");
    EXPECT_EQ(client.cat("tasks/2/state"), "ready\n");
    EXPECT_EQ(client.cat("tasks/2/cpu"), "0\n");
    EXPECT_EQ(client.cat("tasks/2/priority"), "16\n");
    EXPECT_EQ(client.cat("tasks/2/patch_state"), "-1\n");
    EXPECT_EQ(client.cat("tasks/2/stack"), "0\tmain+0x4\n");
    EXPECT_EQ(client.cat("tasks/2/moves"), "1.500\twalk\t1\n");
    EXPECT_EQ(client.cat("tasks/3/name"), "<error: partial walk>");
}

TEST_F(TreeTest, Patches) {
    system.add_patch("fix");
    EXPECT_EQ(client.list("livepatch"), (Names{"fix"}));
    EXPECT_EQ(client.list("livepatch/fix"),
              (Names{"enabled",     "unregister", "transition", "force",      "probation", "abort_if",
                     "commit",      "rollback",   "dormant",    "set",        "replaces",  "version",
                     "description", "fixes",      "built_from", "built_with", "signer",    "blocking",
                     "states",      "nudge",      "faults",     "canary",     "promote",   "functions"}));
    EXPECT_EQ(client.cat("livepatch/fix/enabled"), "1\n");
    EXPECT_EQ(client.cat("livepatch/fix/transition"), "0\n");
    EXPECT_EQ(client.cat("livepatch/fix/set"), "fix\n");
    EXPECT_EQ(client.cat("livepatch/fix/replaces"), "\n");
    EXPECT_EQ(client.cat("livepatch/fix/version"), "1\n");
    EXPECT_EQ(client.cat("livepatch/fix/description"), "a fix\n");
    EXPECT_EQ(client.cat("livepatch/fix/blocking"), "2\tworker\twork\n");
}

TEST_F(TreeTest, States) {
    system.add_patch("fix");
    EXPECT_EQ(client.cat("livepatch/fix/states"), "7\t2\tfix\tlimits\tpresent\tirreversible\n8\t1\t\tcache\tabsent\n");
}

TEST_F(TreeTest, Functions) {
    system.add_patch("fix");
    std::string cut = std::string(200, 'f') + ",2";
    EXPECT_EQ(client.list("livepatch/fix/functions"), (Names{"_ZN4demo4workEv,1", cut}));
    EXPECT_EQ(client.list("livepatch/fix/functions/" + cut),
              (Names{"address", "patched", "old", "new", "calls", "faults", "latency"}));
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/address"), "0xffffffff80201230\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/" + cut + "/address"), "0xffffffff80201600\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/patched"), "1\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/old"), "0xffffffff80201230\t32\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/new"), "0xffffffff90000000\t48\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/calls"), "");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/faults"), "");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/latency"), "");
}

TEST_F(TreeTest, MeasuredFunctions) {
    system.add_patch("fix");
    system.measured = {.is_measured = true,
                       .before = {.calls = 12, .timed = 11, .faults = 0, .min_ns = 1, .mean_ns = 2, .p99_ns = 3},
                       .after = {.calls = 5, .timed = 4, .faults = 1, .min_ns = 6, .mean_ns = 7, .p99_ns = 8}};
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/calls"), "12\t5\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/faults"), "0\t1\n");
    EXPECT_EQ(client.cat("livepatch/fix/functions/_ZN4demo4workEv,1/latency"), "old\t11\t1\t2\t3\nnew\t4\t6\t7\t8\n");
}

TEST_F(TreeTest, Lingering) {
    system.lingering.push_back({5, "old", true, false, {}});
    EXPECT_EQ(client.list("lingering"), (Names{"old"}));
    EXPECT_EQ(client.cat("lingering/old"), "0x0000000000001000\tstack 7\t0x0000000000002000\n");
}

// ---- Steering

TEST_F(TreeTest, UnregisteringInThreeWays) {
    system.add_patch("a");
    system.add_patch("b");
    system.add_patch("c");
    EXPECT_EQ(client.write_value("livepatch/a/enabled", "0\n"), "");
    EXPECT_EQ(client.write_value("livepatch/b/unregister", "1"), "");
    ASSERT_EQ(client.walk(1, "livepatch/c"), "");
    EXPECT_EQ(client.try_call(np::Tremove{1}), "");
    EXPECT_EQ(client.try_call(np::Tstat{1}), "fid 1 is not in use");
    EXPECT_TRUE(system.patches.empty());
}

TEST_F(TreeTest, OtherValuesAreRefused) {
    system.add_patch("fix");
    EXPECT_EQ(client.write_value("livepatch/fix/enabled", "1"), "enabled can't be set to '1', only to 0");
    EXPECT_EQ(client.write_value("livepatch/fix/unregister", "0"),
              "unregister can't be set to '0', only to 1, or 1 deadline=TIME");
    EXPECT_EQ(client.write_value("livepatch/fix/transition", "x"), "transition can't be set to 'x', only to 0");
    EXPECT_EQ(client.write_value("livepatch/fix/transition", "0"), "fix is not in transition");
    EXPECT_EQ(system.patches.size(), 1u);
}

TEST_F(TreeTest, ReverseIsAWriteToTransition) {
    system.add_patch("fix");
    system.patches[0].in_transition = true;
    EXPECT_EQ(client.cat("livepatch/fix/transition"), "1\n");
    EXPECT_EQ(client.write_value("livepatch/fix/transition", "0\n"), "");
    EXPECT_EQ(system.history.back(), "reversed fix");
}

TEST_F(TreeTest, NudgeTakesATask) {
    system.add_patch("fix");
    EXPECT_EQ(client.write_value("livepatch/fix/nudge", "7\n"), "");
    EXPECT_EQ(system.history.back(), "nudged 7");
    EXPECT_EQ(client.write_value("livepatch/fix/nudge", "0"), "nudge 0: there is no such task");
    EXPECT_EQ(client.write_value("livepatch/fix/nudge", "-1"), "nudge can't be set to '-1', only to a task's id");
    EXPECT_EQ(client.write_value("livepatch/fix/nudge", "7 8"), "nudge can't be set to '7 8', only to a task's id");
}

TEST_F(TreeTest, ReadingFromTheStartLooksAgainAndReadingOnDoesNot) {
    system.symbols = "first\nsecond\n";
    ASSERT_EQ(client.open(1, "symbols", np::kOpenRead), "");
    EXPECT_EQ(client.read(1, 0, 6), "first\n");
    system.symbols = "other\n";
    EXPECT_EQ(client.read(1, 6, 100), "second\n");
    EXPECT_EQ(client.read(1, 0, 100), "other\n");
    EXPECT_EQ(client.read(1, 6, 100), "");
}

TEST_F(TreeTest, WhatIsBeingReadCanBeReadToItsEnd) {
    system.add_patch("fix");
    ASSERT_EQ(client.open(1, "livepatch/fix/enabled", np::kOpenReadWrite), "");
    EXPECT_EQ(client.read(1, 0, 1), "1");
    ASSERT_EQ(client.write(1, 0, "0"), "");
    EXPECT_EQ(client.read(1, 1, 10), "\n");
    EXPECT_EQ(client.try_call(np::Tread{1, 0, 10}), "the patch is gone");
}

TEST_F(TreeTest, WhatIsGoneSaysSo) {
    system.add_patch("fix");
    ASSERT_EQ(client.open(1, "livepatch/fix/enabled", np::kOpenReadWrite), "");
    ASSERT_EQ(client.walk(2, "livepatch/fix/version"), "");
    ASSERT_EQ(client.open(3, "livepatch/fix", np::kOpenRead), "");
    ASSERT_EQ(client.walk(4, "livepatch/fix"), "");
    ASSERT_EQ(client.walk(5, "livepatch/fix/functions/_ZN4demo4workEv,1"), "");
    // From inside its own write.
    ASSERT_EQ(client.write(1, 0, "0"), "");
    EXPECT_EQ(client.write(1, 0, "0"), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Tread{1, 0, 1000}), "the patch is gone");  // though it was open, and not read before
    EXPECT_EQ(client.try_call(np::Topen{2, np::kOpenRead}), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Tread{3, 0, 1000}), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Twalk{4, 6, 1, {"enabled"}}), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Twalk{5, 6, 1, {"address"}}), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Tstat{2}), "the patch is gone");
    EXPECT_EQ(client.try_call(np::Tremove{4}), "the patch is gone");
    // A new patch of the same name is another one.
    system.add_patch("fix");
    EXPECT_EQ(client.try_call(np::Topen{2, np::kOpenRead}), "the patch is gone");
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(clunk(2), "");
}

TEST_F(TreeTest, OnlyPatchesCanBeRemoved) {
    ASSERT_EQ(client.walk(1, "version"), "");
    EXPECT_EQ(client.try_call(np::Tremove{1}), "version can't be removed");
    ASSERT_EQ(client.walk(1, "tasks/2"), "");
    EXPECT_EQ(client.try_call(np::Tremove{1}), "2 can't be removed");
}

// ---- Uploads

TEST_F(TreeTest, UploadLoadsAtTheSyncOnce) {
    std::string content(100'000, 'k');
    content[50'000] = '\0';
    ASSERT_EQ(upload(1, "fix.klp", content), "");
    EXPECT_EQ(client.list("livepatch"), (Names{"fix.klp"}));
    EXPECT_TRUE(system.loads.empty());
    EXPECT_EQ(sync(1), "");
    EXPECT_EQ(system.loads, (Names{"fix 100000"}));
    EXPECT_EQ(system.loaded_bytes, content);
    EXPECT_EQ(client.write(1, 100'000, "more"), "fix.klp takes no more bytes");
    EXPECT_EQ(sync(1), "");
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(system.loads.size(), 1u);
    EXPECT_EQ(client.list("livepatch"), (Names{"fix"}));
    EXPECT_EQ(tree.quota().used(), 0u);
}

TEST_F(TreeTest, UploadLoadsAtTheClunkWithoutASync) {
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(system.loads, (Names{"fix 5"}));
}

TEST_F(TreeTest, AnUndecidedSyncIsAnsweredWhenItIsDecided) {
    system.decide_later = true;
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(sync(1), "no answer");
    server.poll();
    EXPECT_FALSE(client.receive());
    EXPECT_EQ(client.cat("version"), "<error: tag 1 is in use>") << "the request holds its tag";
    auto other = client.call(np::Tstat{0}, 2);
    ASSERT_TRUE(other && other->get<np::Rstat>()) << "others are served meanwhile";
    system.outcomes[1] = "";
    server.poll();
    auto answer = client.receive();
    ASSERT_TRUE(answer && answer->get<np::Rwstat>());
    EXPECT_EQ(answer->message.tag, 1);
    server.poll();
    EXPECT_FALSE(client.receive()) << "once";
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(system.loads.size(), 1u);
    EXPECT_EQ(tree.quota().used(), 0u);
}

TEST_F(TreeTest, AnUndecidedSyncCarriesTheRefusalToo) {
    system.decide_later = true;
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(sync(1), "no answer");
    system.outcomes[1] = "its pre_patch refused";
    server.poll();
    auto answer = client.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->error(), "its pre_patch refused");
    EXPECT_EQ(clunk(1), "") << "it has been told";
}

TEST_F(TreeTest, AnUndecidedClunkWaitsToo) {
    system.decide_later = true;
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    client.send(np::Twstat{1, np::Stat::dont_touch()}, 7);
    client.send(np::Tclunk{1}, 8);
    server.poll();
    EXPECT_FALSE(client.receive());
    system.outcomes[1] = "no";
    server.poll();
    auto first = client.receive();
    auto second = client.receive();
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->message.tag, 7);
    EXPECT_EQ(first->error(), "no");
    EXPECT_EQ(second->message.tag, 8);
    EXPECT_EQ(second->error(), "no");
    EXPECT_EQ(client.try_call(np::Tstat{1}), "fid 1 is not in use");
    EXPECT_EQ(tree.quota().used(), 0u);
}

TEST_F(TreeTest, UndecidedWritesAndRemovalsWait) {
    system.add_patch("fix");
    system.decide_later = true;
    ASSERT_EQ(client.open(1, "livepatch/fix/unregister", np::kOpenWrite), "");
    EXPECT_EQ(client.write(1, 0, "1\n"), "no answer");
    client.send(np::Twalk{0, 2, 2, {"livepatch", "fix"}}, 2);
    ASSERT_TRUE(client.receive().has_value());
    client.send(np::Tremove{2}, 3);
    EXPECT_FALSE(client.receive());
    system.outcomes[1] = "";
    server.poll();
    auto written = client.receive();
    ASSERT_TRUE(written && written->get<np::Rwrite>());
    EXPECT_EQ(written->get<np::Rwrite>()->count, 2u);
    system.outcomes[2] = "";
    server.poll();
    auto removed = client.receive();
    ASSERT_TRUE(removed && removed->get<np::Rremove>());
    EXPECT_EQ(removed->message.tag, 3);
}

TEST_F(TreeTest, NobodyIsToldWhoHasGivenUp) {
    system.decide_later = true;
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    client.send(np::Twstat{1, np::Stat::dont_touch()}, 7);
    ASSERT_EQ(client.try_call(np::Tflush{7}), "");
    system.outcomes[1] = "";
    server.poll();
    EXPECT_FALSE(client.receive());
    client.attach();
    ASSERT_EQ(upload(1, "other.klp", "patch"), "");
    client.send(np::Tclunk{1}, 7);
    server.reset();
    system.outcomes[2] = "";
    server.poll();
    EXPECT_FALSE(client.receive()) << "the client has gone";
}

TEST_F(TreeTest, TheSyncCarriesTheRefusal) {
    system.refuse_load = "wrong build";
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(sync(1), "wrong build");
    EXPECT_EQ(sync(1), "fix.klp has been refused already");
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(system.loads.size(), 1u);
    EXPECT_EQ(client.list("livepatch"), Names{});
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(clunk(1), "wrong build");
    EXPECT_EQ(client.try_call(np::Tstat{1}), "fid 1 is not in use");
    EXPECT_EQ(tree.quota().used(), 0u);
}

TEST_F(TreeTest, OnlyPatchAndOptionFilesCanBeCreated) {
    EXPECT_EQ(upload(1, "fix.txt", ""), "fix.txt can't be created: only <patch>.klp and <patch>.opt can");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "a/b.klp", 0644, 1, ""}), "not a name for a file");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "..", 0644, 1, ""}), "not a name for a file");
    EXPECT_EQ(client.try_call(np::Tcreate{1, ".klp", 0644, 1, ""}), " is not a name for a patch");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "a b.klp", 0644, 1, ""}), "a b is not a name for a patch");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "fix.klp", np::kModeDirectory | 0755, 0, ""}),
              "only plain files can be created, not fix.klp");
    EXPECT_EQ(client.try_call(np::Tcreate{1, "fix.klp", 0644, np::kOpenExecute, ""}), "fix.klp can't be executed");
    EXPECT_EQ(client.list("livepatch"), Names{});
    EXPECT_EQ(client.try_call(np::Tcreate{0, "fix.klp", 0644, 1, ""}),
              "fix.klp can't be created: files are created in /livepatch only");
    // The fid is still the directory.
    EXPECT_EQ(client.try_call(np::Tcreate{1, "fix.klp", 0644, 1, ""}), "");
}

TEST_F(TreeTest, TwoUploadsOfOneNameAreNotMixed) {
    ASSERT_EQ(upload(1, "fix.klp", "one"), "");
    EXPECT_EQ(upload(2, "fix.klp", "two"), "fix.klp is being written already");
    EXPECT_EQ(client.open(3, "livepatch/fix.klp", np::kOpenWrite), "fix.klp is open already");
    EXPECT_EQ(clunk(1), "");
    EXPECT_EQ(system.loaded_bytes, "one");
}

TEST_F(TreeTest, UploadsAreLimitedInNumberAndSize) {
    for (u32 i = 0; i < kMaxUploads; ++i) ASSERT_EQ(upload(10 + i, "p" + std::to_string(i) + ".klp", "x"), "");
    EXPECT_EQ(upload(50, "more.klp", "x"), "too many uploads at a time: at most 8");
    server.reset();
    client.attach();
    std::string whole(formats::kKlpMaxFile, 'x');
    ASSERT_EQ(upload(1, "big.klp", whole), "");
    EXPECT_EQ(client.write(1, whole.size(), "x"), "big.klp exceeds the 4194304 bytes that are allowed");
    EXPECT_EQ(sync(1), "big.klp has not arrived whole and is not used");
    EXPECT_EQ(clunk(1), "big.klp has not arrived whole and is not used");
    EXPECT_TRUE(system.loads.empty());
    EXPECT_EQ(tree.quota().used(), 0u);
}

TEST_F(TreeTest, AGapInAnUploadIsRefused) {
    ASSERT_EQ(upload(1, "fix.klp", "abc"), "");
    EXPECT_EQ(client.write(1, 1, "XY"), "");
    EXPECT_EQ(client.write(1, 5, "Z"), "fix.klp: write at offset 5 leaves a gap after 3");
    EXPECT_EQ(clunk(1), "fix.klp has not arrived whole and is not used");
    EXPECT_TRUE(system.loads.empty());
}

TEST_F(TreeTest, AVanishingClientLeavesNothingBehind) {
    ASSERT_EQ(upload(1, "fix.klp", std::string(50'000, 'x')), "");
    ASSERT_EQ(upload(2, "fix.opt", "allow_endless=1"), "");
    EXPECT_GT(tree.quota().used(), 0u);
    server.reset();
    EXPECT_EQ(tree.quota().used(), 0u);
    EXPECT_TRUE(system.loads.empty());
    client.attach();
    EXPECT_EQ(client.list("livepatch"), Names{});
}

TEST_F(TreeTest, RemovingAnUploadDropsIt) {
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    ASSERT_EQ(client.walk(2, "livepatch/fix.klp"), "");
    EXPECT_EQ(client.try_call(np::Tremove{2}), "");
    EXPECT_EQ(client.write(1, 5, "more"), "the upload is gone");
    EXPECT_EQ(clunk(1), "the upload is gone");
    ASSERT_EQ(upload(1, "fix.klp", "patch"), "");
    EXPECT_EQ(client.try_call(np::Tremove{1}), "");
    EXPECT_TRUE(system.loads.empty());
}

TEST_F(TreeTest, AnOpenUploadThatIsDroppedGoesWithItsFile) {
    auto node = tree.create(Node{NodeKind::livepatch}.encode(), "fix.klp");
    ASSERT_TRUE(node.has_value());
    auto file = tree.open(*node, {.read = false, .write = true});
    ASSERT_TRUE(file.has_value());
    EXPECT_TRUE(tree.info(*node).has_value());
    file->reset();
    EXPECT_FALSE(tree.info(*node).has_value());
    EXPECT_TRUE(system.loads.empty());
}

TEST_F(TreeTest, OptionsAreUsedUpByOneLoad) {
    ASSERT_EQ(upload(1, "fix.opt", "allow_endless=1\n"), "");
    ASSERT_EQ(clunk(1), "");
    EXPECT_EQ(client.list("livepatch"), (Names{"fix.opt"}));
    ASSERT_EQ(upload(1, "other.klp", "x"), "");
    ASSERT_EQ(clunk(1), "");
    ASSERT_EQ(upload(1, "fix.klp", "x"), "");
    ASSERT_EQ(clunk(1), "");
    ASSERT_EQ(upload(1, "fix.klp", "x"), "");
    ASSERT_EQ(clunk(1), "");
    EXPECT_EQ(system.loads, (Names{"other 1", "fix 1 allow_endless", "fix 1"}));
    EXPECT_EQ(client.list("livepatch"), (Names{"other", "fix", "fix"}));
}

TEST_F(TreeTest, HealthRulesAreTakenOrRefusedByName) {
    auto answer = [&](const char* options) {
        EXPECT_EQ(upload(1, "fix.opt", options), "");
        EXPECT_EQ(clunk(1), "");
        EXPECT_EQ(upload(1, "fix.klp", "x"), "");
        std::string synced = sync(1);
        EXPECT_EQ(clunk(1), "");
        return synced;
    };
    EXPECT_NE(answer("abort_if=p99>2\n").find("fix.opt: abort_if=p99>2 is no health rule: expected faults>N"),
              std::string::npos);
    EXPECT_NE(answer("abort_if=faults>0\nabort_if=faults>1\nabort_if=faults>2\nabort_if=faults>3\nabort_if=faults>4\n")
                  .find("more than 4 health rules"),
              std::string::npos);
    EXPECT_TRUE(system.loads.empty());
}

TEST_F(TreeTest, UnknownOptionsRefuseTheLoad) {
    for (const char* options : {"colour=red", "nudge_after=250", "nudge_after=0s", "nudge_after=9999h", "allow_endless",
                                "allow_endless=2", "allow_endless=1\nx=1"}) {
        ASSERT_EQ(upload(1, "fix.opt", options), "");
        ASSERT_EQ(clunk(1), "");
        ASSERT_EQ(upload(1, "fix.klp", "x"), "");
        EXPECT_NE(sync(1).find("is unknown or has a bad value"), std::string::npos) << options;
        ASSERT_EQ(clunk(1), "");
    }
    EXPECT_TRUE(system.loads.empty());
}

// ---- Plans

TEST_F(TreeTest, APlanIsAnsweredAndNothingIsLoaded) {
    ASSERT_EQ(client.open(1, "plan", np::kOpenReadWrite), "");
    ASSERT_EQ(client.write(1, 0, "12345"), "");
    ASSERT_EQ(client.write(1, 5, "678"), "");
    EXPECT_EQ(client.read_all(1), "plan of 8 bytes\n");
    ASSERT_EQ(client.write(1, 0, "1"), "");
    EXPECT_EQ(client.read_all(1), "plan of 1 bytes\n");
    EXPECT_EQ(clunk(1), "");
    EXPECT_TRUE(system.loads.empty());
    // As a shell does it: written, closed, read.
    EXPECT_EQ(client.write_value("plan", "abc"), "");
    EXPECT_EQ(client.cat("plan"), "plan of 3 bytes\n");
    server.reset();
    client.attach();
    EXPECT_EQ(client.cat("plan"), "");
}

TEST_F(TreeTest, APlanThatDidNotArriveWholeIsRefused) {
    ASSERT_EQ(client.open(1, "plan", np::kOpenReadWrite), "");
    EXPECT_EQ(client.write(1, 3, "x"), "plan: write at offset 3 leaves a gap after 0");
    EXPECT_EQ(client.read_all(1), "<error: plan: the patch has not arrived whole>");
}

TEST(TreeQuota, AClientThatUsesUpItsMemoryIsRefused) {
    FakeSystem system;
    system.symbols.assign(5000, 's');
    ControlTree tree(system, patch::Source::serial, 8192);
    Server server(tree);
    ASSERT_TRUE(server.allocate());
    Client client(server);
    client.attach();
    ASSERT_EQ(client.open(1, "symbols", np::kOpenRead), "");
    EXPECT_EQ(client.open(2, "symbols", np::kOpenRead), "the file takes more memory than a client may use");
    ASSERT_EQ(client.try_call(np::Tclunk{1}), "");
    EXPECT_EQ(client.try_call(np::Topen{2, np::kOpenRead}), "");
}

}  // namespace
}  // namespace graft::control
