#include "patch/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "patch/changing_set.h"
#include "tests/sim/still_machine.h"

namespace graft::patch {
namespace {

TEST(History, NumbersAreNeverUsedTwiceAndGapsShow) {
    History history;
    EXPECT_EQ(history.last_number(), 0u);
    EXPECT_EQ(history.first_number(), 1u);
    for (u64 i = 1; i <= kHistorySize + 10; ++i) {
        HistoryRecord record;
        record.references = i;
        EXPECT_EQ(history.add(record), i);
    }
    EXPECT_EQ(history.first_number(), 11u);
    std::vector<HistoryRecord> out(4);
    ASSERT_EQ(history.read(1, out), 4u);
    EXPECT_EQ(out[0].number, 11u);
    EXPECT_EQ(out[3].references, 14u);
    EXPECT_EQ(history.read(kHistorySize + 10, out), 1u);
    EXPECT_EQ(history.read(kHistorySize + 11, out), 0u);
}

TEST(History, RendersOneLine) {
    HistoryRecord record;
    record.number = 7;
    record.time_ns = 3'004'050'000;
    record.event = HistoryEvent::loaded;
    record.patch.assign("fix");
    record.turns = 2;
    record.duration_ns = 1'500'000;
    record.moves = {5, 4, 3, 2, 1};
    Text<512> out;
    render(record, out);
    EXPECT_EQ(
        out.view(),
        "7\t3.004050\tloaded\tfix\tturns=2\tseconds=0.001500\twalk=5\tinterrupt=4\thook=3\tbirth=2\texit=1\tforce=0");

    record.event = HistoryEvent::refused;
    record.refusal = Refusal{RefusalCode::wrong_bytes, 0x1000, 0x90, 0x55, std::string_view("price"), {}};
    out.clear();
    render(record, out);
    EXPECT_EQ(
        out.view(),
        "7\t3.004050\trefused\tfix\treason=price: the image has other bytes, at 0x1000: found 0x90, expected 0x55");
}

// In the events' order; docs/reference/control-tree.md has the same table, and tests/docs/events_test.py compares them.
struct Columns {
    std::string_view event;
    std::vector<std::string> keys;
};
const Columns kColumns[] = {
    {"refused", {"reason"}},
    {"load-started", {"replaces"}},
    {"unload-started", {}},
    {"rollback-started", {"to"}},
    {"turned", {"turns"}},
    {"expired", {"tasks"}},
    {"held", {"task", "name", "function"}},
    {"forced", {"tasks"}},
    {"loaded", {"turns", "seconds", "walk", "interrupt", "hook", "birth", "exit", "force", "probation"}},
    {"unloaded", {"turns", "seconds", "walk", "interrupt", "hook", "birth", "exit", "force"}},
    {"rolled-back", {"turns", "seconds", "walk", "interrupt", "hook", "birth", "exit", "force", "to"}},
    {"replaced", {"by"}},
    {"dormant", {"by"}},
    {"committed", {"freed"}},
    {"withdrawn", {"reason"}},
    {"lingers", {"place", "word", "references"}},
    {"freed", {}},
    {"canary", {"share", "moved", "chosen", "total"}},
    {"promoted", {"share", "moved", "chosen", "total"}},
    {"aborted", {"reason"}},
    {"stuck", {"reason"}},
    {"fault", {"task", "name", "kind", "address", "function", "then"}},
};
static_assert(std::size(kColumns) == kHistoryEventCount);

std::vector<std::string> columns_of(std::string_view line) {
    std::vector<std::string> columns;
    for (usize begin = 0; begin <= line.size();) {
        usize end = std::min(line.find('\t', begin), line.size());
        columns.emplace_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return columns;
}

TEST(History, EachEventHasItsColumns) {
    HistoryRecord record;
    record.number = 1;
    record.patch.assign("fix");
    record.other.assign("other");
    record.signer.assign("release");
    record.kind.assign("page fault");
    record.function.assign("f0");
    record.then = "stays";
    for (usize event = 0; event < kHistoryEventCount; ++event) {
        record.event = static_cast<HistoryEvent>(event);
        record.probation_ns = record.event == HistoryEvent::loaded ? 1 : 0;
        Text<512> line;
        render(record, line);
        auto columns = columns_of(line.view());
        ASSERT_GE(columns.size(), 5u);
        EXPECT_EQ(columns[2], kColumns[event].event);
        EXPECT_EQ(columns[3], "fix");
        EXPECT_EQ(columns[4], "signer=release");
        std::vector<std::string> keys;
        for (usize i = 5; i < columns.size(); ++i) keys.push_back(columns[i].substr(0, columns[i].find('=')));
        EXPECT_EQ(keys, kColumns[event].keys) << line.view();
    }
}

TEST(History, AppendsFractionsWithTheirZeros) {
    for (auto [ns, text] :
         {std::pair<u64, std::string_view>{0, "0.000000"}, {1'000, "0.000001"}, {1'000'000'000, "1.000000"}}) {
        HistoryRecord record;
        record.time_ns = ns;
        record.event = HistoryEvent::freed;
        Text<64> out;
        render(record, out);
        EXPECT_EQ(out.view().substr(2, text.size()), text);
    }
}

TEST(Refusal, NamesBothPatches) {
    Text<256> out;
    render(Refusal{RefusalCode::function_taken, 0xffff, 0, 0, std::string_view("price"), std::string_view("fix-1")},
           out);
    EXPECT_EQ(out.view(), "price: the function belongs to another patch (fix-1), at 0xffff");
}

TEST(ChangingSet, FindsWhatLiesInsideAndNothingElse) {
    sim::SimImage image(1);
    sim::StillMachine machine(image);
    ChangingSet set;
    ASSERT_TRUE(set.reserve(machine, 5));
    auto range = [](u64 begin, u64 end) { return AddressRange{VirtAddr(begin), VirtAddr(end)}; };
    for (auto added : {range(300, 400), range(100, 200), range(200, 250), range(310, 320), range(9, 9)}) set.add(added);
    set.close();
    EXPECT_EQ(set.ranges().size(), 2u);
    for (u64 pc = 0; pc < 500; ++pc) {
        bool inside = (pc >= 100 && pc < 250) || (pc >= 300 && pc < 400);
        EXPECT_EQ(set.contains(VirtAddr(pc)), inside) << pc;
    }
}

}  // namespace
}  // namespace graft::patch
