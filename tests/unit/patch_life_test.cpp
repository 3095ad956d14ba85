// The table of a patch's life, a test for each cell.
#include <cctype>
#include <set>

#include "tests/unit/patch_life_fixture.h"

namespace graft::patch::life {
namespace {

struct Cell {
    usize row = 0;
    Request request = Request::unregister;
};

std::vector<Cell> all_cells() {
    std::vector<Cell> cells;
    for (usize row = 0; row < rows().size(); ++row) {
        for (usize request = 0; request < kRequestCount; ++request)
            cells.push_back({row, static_cast<Request>(request)});
    }
    return cells;
}

std::string name_of_cell(const testing::TestParamInfo<Cell>& info) {
    std::string name(rows()[info.param.row].situation);
    name += " then " + std::string(kRequestNames[static_cast<usize>(info.param.request)]);
    for (char& character : name) {
        if (std::isalnum(static_cast<unsigned char>(character)) == 0) character = '_';
    }
    return name;
}

class PatchLife : public PatchLifeTest, public testing::WithParamInterface<Cell> {};

TEST_P(PatchLife, AsTheTableSays) {
    const Row& row = rows()[GetParam().row];
    ASSERT_TRUE(bring_about(row.situation));
    EXPECT_EQ(outcome(GetParam().request, row.patch), row.cells[static_cast<usize>(GetParam().request)]);
}

INSTANTIATE_TEST_SUITE_P(, PatchLife, testing::ValuesIn(all_cells()), name_of_cell);

TEST(PatchLifeTable, NamesEachSituationOnce) {
    std::set<std::string_view> seen;
    for (const Row& row : rows()) EXPECT_TRUE(seen.insert(row.situation).second) << row.situation;
}

}  // namespace
}  // namespace graft::patch::life
