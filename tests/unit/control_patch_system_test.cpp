// The control tree over a real registry, from the client's message to the patch in force.
#include "control/patch_system.h"

#include "control/server.h"
#include "control/tree.h"
#include "tests/unit/control_client.h"
#include "tests/unit/patch_fixture.h"

namespace graft::control {
namespace {

using testing::Client;
namespace np = formats::ninep;

// The kernel's part, of which nothing is needed here.
class TestSystem final : public PatchSystem {
public:
    using PatchSystem::PatchSystem;
    void write_version(GrowingText&) override {}
    void write_tainted(GrowingText&) override {}
    void write_symbols(GrowingText&) override {}
    void write_metrics(GrowingText&) override {}
    bool next_log_line(u64&, TextBuffer&) override { return false; }
    void visit_tasks(FunctionRef<void(const TaskView&)>) override {}
    bool visit_task(u64, FunctionRef<void(const TaskView&)>) override { return false; }
    bool write_stack(u64, GrowingText&) override { return false; }
    bool write_moves(u64, GrowingText&) override { return false; }
    bool write_blocking(u64, GrowingText&) override { return true; }
    ControlResult<void> nudge(u64, u64) override { return {}; }
    void note(std::string_view) override {}
};

class PatchSystemTest : public patch::PatchTest {
protected:
    PatchSystemTest() : system(*registry), tree(system), server(tree), client(server) {
        EXPECT_TRUE(server.allocate());
        client.attach();
    }

    std::string file(const std::string& name, std::initializer_list<const char*> replaced, const char* set = "") {
        sim::PatchBuilder builder(image, name);
        builder.set = set;
        for (auto* function : replaced) builder.replace(function);
        sim::Bytes bytes = builder.build();
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    // What the sync answers.
    std::string upload(const std::string& name, const std::string& content) {
        std::string error = client.walk(1, "livepatch");
        if (error.empty()) error = client.try_call(np::Tcreate{1, name, 0644, np::kOpenWrite, ""});
        for (usize offset = 0; error.empty() && offset < content.size(); offset += 8000) {
            error = client.write(1, offset, content.substr(offset, 8000));
        }
        if (error.empty()) error = client.try_call(np::Twstat{1, np::Stat::dont_touch()});
        client.call(np::Tclunk{1});
        return error;
    }

    TestSystem system;
    ControlTree tree;
    Server server;
    Client client;
};

TEST_F(PatchSystemTest, APatchComesAndGoes) {
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0", "f1"})), "");
    EXPECT_EQ(client.list("livepatch"), std::vector<std::string>{"fix"});
    EXPECT_EQ(client.cat("livepatch/fix/enabled"), "1\n");
    EXPECT_EQ(client.cat("livepatch/fix/transition"), "1\n");
    EXPECT_EQ(client.list("livepatch/fix/functions").size(), 2u);
    EXPECT_EQ(client.cat("livepatch/fix/functions/f0,1/patched"), "1\n");
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    EXPECT_EQ(client.cat("livepatch/fix/transition"), "0\n");
    EXPECT_EQ(client.write_value("livepatch/fix/transition", "0").substr(0, 5), "fix: ");
    ASSERT_EQ(client.walk(5, "livepatch/fix/enabled"), "");
    EXPECT_EQ(client.write_value("livepatch/fix/unregister", "1"), "");
    EXPECT_EQ(client.cat("livepatch/fix/enabled"), "0\n");
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    EXPECT_TRUE(client.list("livepatch").empty());
    EXPECT_EQ(client.try_call(np::Topen{5, np::kOpenRead}), "the patch is gone");
}

TEST_F(PatchSystemTest, ASuccessorOnProbationIsRolledBackAndCommitted) {
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    auto load_next = [&](const std::string& name) {
        EXPECT_EQ(upload(name + ".opt", "probation=1m\ndeadline=2s\n"), "");
        EXPECT_EQ(upload(name + ".klp", file(name, {"f0"}, "fix")), "");
        EXPECT_NE(registry->transition()->deadline_ns, 0u);
        EXPECT_EQ(client.cat("livepatch/fix/enabled"), "0\n");
        EXPECT_EQ(client.cat("livepatch/fix/transition"), "1\n");
        EXPECT_EQ(registry->complete(), patch::Completion::done);
        EXPECT_EQ(client.list("livepatch"), std::vector<std::string>{name});
        EXPECT_EQ(client.cat("livepatch/" + name + "/dormant"), "fix\n");
        EXPECT_EQ(client.cat("livepatch/" + name + "/replaces"), "fix\n");
        EXPECT_EQ(client.cat("livepatch/" + name + "/probation"), "60\n");
    };
    load_next("fix-2");
    ASSERT_EQ(client.walk(5, "livepatch/fix-2/enabled"), "");
    EXPECT_EQ(client.write_value("livepatch/fix-2/rollback", "1 deadline=5s"), "");
    EXPECT_NE(registry->transition()->deadline_ns, 0u);
    EXPECT_EQ(client.list("livepatch").size(), 2u);
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    EXPECT_EQ(client.list("livepatch"), std::vector<std::string>{"fix"});
    EXPECT_EQ(client.try_call(np::Topen{5, np::kOpenRead}), "the patch is gone");
    EXPECT_EQ(client.cat("livepatch/fix/enabled"), "1\n");
    EXPECT_EQ(client.write_value("livepatch/fix/rollback", "1"), "fix: fix: the patch isn't on probation");
    load_next("fix-3");
    EXPECT_EQ(client.write_value("livepatch/fix-3/commit", "1"), "");
    EXPECT_EQ(client.cat("livepatch/fix-3/dormant"), "\n");
    EXPECT_EQ(client.cat("livepatch/fix-3/probation"), "0\n");
}

TEST_F(PatchSystemTest, ACanaryIsHeldAndPromoted) {
    ASSERT_EQ(upload("fix.opt", "canary=tasks=web-*\n"), "");
    machine.share_count = {.total = 12, .chosen = 3, .moved = 1};
    machine.unmoved = {7, 8};
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    EXPECT_EQ(client.cat("livepatch/fix/canary"), "tasks=web-*\t1\t3\t12\tmoving\t0\n");
    machine.share_count.moved = 3;
    machine.unmoved.clear();
    (void)registry->complete();
    machine.advance(62'000'000'000);
    EXPECT_EQ(client.cat("livepatch/fix/canary"), "tasks=web-*\t3\t3\t12\theld\t62\n");
    EXPECT_EQ(upload("other.klp", file("other", {"f1"})),
              "other: a canary is to be promoted or reversed first (fix), 62 s old");
    for (const char* value : {"0", "1 deadline=", "2"})
        EXPECT_NE(client.write_value("livepatch/fix/promote", value), "") << value;
    machine.unmoved = {9};
    EXPECT_EQ(client.write_value("livepatch/fix/promote", "1 deadline=5s"), "");
    EXPECT_EQ(client.cat("livepatch/fix/canary"), "tasks=web-*\t3\t3\t12\tpromoted\t62\n");
    EXPECT_NE(registry->transition()->deadline_ns, 0u);
    machine.unmoved.clear();
    (void)registry->complete();
    EXPECT_EQ(client.cat("livepatch/fix/canary"), "\n");
    EXPECT_EQ(client.write_value("livepatch/fix/promote", "1"), "fix: fix: the patch isn't a canary");
}

TEST_F(PatchSystemTest, ACanaryIsReversed) {
    ASSERT_EQ(upload("fix.opt", "canary=10%\n"), "");
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    EXPECT_EQ(client.write_value("livepatch/fix/transition", "0"), "");
    EXPECT_EQ(client.cat("livepatch/fix/canary"), "10%\t0\t0\t0\treversed\t0\n");
    EXPECT_EQ(client.write_value("livepatch/fix/promote", "1"), "fix: fix: the canary is being taken back");
    EXPECT_EQ(registry->complete(), patch::Completion::done);
    EXPECT_EQ(client.list("livepatch"), std::vector<std::string>{});
}

TEST_F(PatchSystemTest, BadSharesAreRefused) {
    std::string long_pattern(65, 'x');
    for (const std::string& share : {std::string(), std::string("0%"), std::string("101%"), std::string("10"),
                                     std::string("%"), std::string("1.5%"), std::string("-1%"), std::string("newer"),
                                     std::string("tasks="), "tasks=" + long_pattern, std::string("tasks=\x01")}) {
        ASSERT_EQ(upload("fix.opt", "canary=" + share + "\n"), "");
        EXPECT_NE(upload("fix.klp", file("fix", {"f0"})), "") << share;
    }
    for (const char* share : {"1%", "100%", "new", "tasks=?", "none"}) {
        ASSERT_EQ(upload("fix.opt", "canary=" + std::string(share) + "\n"), "");
        EXPECT_EQ(upload("fix.klp", file("fix", {"f0"})), "") << share;
        EXPECT_EQ(static_cast<bool>(machine.canary), std::string_view(share) != "none") << share;
        EXPECT_EQ(client.write_value("livepatch/fix/unregister", "1"), "");
        EXPECT_EQ(registry->complete(), patch::Completion::done);
    }
}

TEST_F(PatchSystemTest, BadDurationsAndValuesAreRefused) {
    for (const char* value : {"", "1", "s", "0s", "1.5s", "1 s", "-1s", "366000h", "99999999999999999999s", "1d"}) {
        ASSERT_EQ(upload("fix.opt", "deadline=" + std::string(value) + "\n"), "");
        EXPECT_NE(upload("fix.klp", file("fix", {"f0"})), "") << value;
    }
    ASSERT_EQ(upload("fix.opt", "deadline=none\nprobation=250ms\nnudge_after=3s\n"), "");
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    EXPECT_EQ(registry->transition()->deadline_ns, 0u);
    EXPECT_EQ(machine.nudge_period_ns, 3'000'000'000u);
    for (const char* value : {"0", "1 deadline=", "1 deadline=x", "2"}) {
        EXPECT_NE(client.write_value("livepatch/fix/unregister", value), "") << value;
        EXPECT_NE(client.write_value("livepatch/fix/rollback", value), "") << value;
        EXPECT_NE(client.write_value("livepatch/fix/force", value), "") << value;
        EXPECT_NE(client.write_value("livepatch/fix/commit", value), "") << value;
    }
    EXPECT_EQ(client.write_value("livepatch/fix/force", "1"), "");
    EXPECT_EQ(registry->taint().forced, 1u);
}

TEST_F(PatchSystemTest, HistoryTellsEachRecordOnce) {
    ASSERT_EQ(client.open(9, "history", np::kOpenRead), "");
    ASSERT_EQ(client.read_all(9), "<waits>");
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})).find("tag"), 0u);  // tag 1 waits for the history
    client.send(np::Tflush{1}, 2);
    ASSERT_TRUE(client.receive()->get<np::Rflush>());
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    std::string records = client.read_all(9, 10);
    EXPECT_EQ(records.find("1\t"), 0u);
    EXPECT_NE(records.find("\n2\t"), std::string::npos);
    EXPECT_NE(records.find("\tloaded\tfix\t"), std::string::npos);
    EXPECT_EQ(records.find("\n3\t"), std::string::npos);
}

TEST_F(PatchSystemTest, RefusalsNameThePatchAndTheReason) {
    EXPECT_EQ(upload("fix.klp", "not a patch at all").find("fix: not a patch"), 0u);
    ASSERT_EQ(upload("fix.klp", file("fix", {"f0"})), "");
    EXPECT_NE(upload("other.klp", file("other", {"f1"})), "");  // a transition runs
    ASSERT_EQ(registry->complete(), patch::Completion::done);
    std::string error = upload("other.klp", file("other", {"f0"}));
    EXPECT_EQ(error.find("other: "), 0u);
    EXPECT_NE(error.find("f0"), std::string::npos);
    EXPECT_NE(error.find("fix"), std::string::npos);
    EXPECT_EQ(client.list("livepatch"), std::vector<std::string>{"fix"});
}

TEST_F(PatchSystemTest, APlanLoadsNothing) {
    ASSERT_EQ(client.open(1, "plan", np::kOpenReadWrite), "");
    ASSERT_EQ(client.write(1, 0, file("fix", {"f0"})), "");
    std::string plan = client.read_all(1);
    EXPECT_EQ(plan.find("patch\tfix\tfix\t"), 0u);
    EXPECT_NE(plan.find("\nfunction\tf0,1\t0x"), std::string::npos);
    EXPECT_EQ(plan.substr(plan.size() - 6), "\nfits\n");
    ASSERT_EQ(client.write(1, 0, "junk"), "");
    EXPECT_EQ(client.read_all(1).find("refused\tnot a patch"), 0u);
    EXPECT_TRUE(client.list("livepatch").empty());
}

}  // namespace
}  // namespace graft::control
