// Debug information of real objects, and what a diff does to the types in them: tests/unit/pairs/types.cpp.
#include <gtest/gtest.h>

#include <algorithm>

#include "tools/differ/debug_info.h"
#include "tools/differ/types_compare.h"

namespace graft::differ {
namespace {

DebugInfo read_pair(const std::string& name, const std::string& side) {
    std::string path = "build/check/pairs/" + name + "." + side + ".o";
    auto bytes = tools::read_file(path);
    if (!bytes) throw std::runtime_error(bytes.error().text);
    auto object = tools::read_object(*bytes, path);
    if (!object) throw std::runtime_error(object.error().text);
    auto info = DebugInfo::read(*object);
    if (!info) throw std::runtime_error(info.error().text);
    return std::move(*info);
}

class Types : public ::testing::Test {
protected:
    DebugInfo before_ = read_pair("types.cpp", "before");
    DebugInfo after_ = read_pair("types.cpp", "after");
    std::vector<TypeChange> changes_ = compare_types(before_, after_);

    const TypeChange* find(const std::string& name) const {
        auto found = std::find_if(changes_.begin(), changes_.end(),
                                  [&](const TypeChange& change) { return change.name == "pairs::" + name; });
        return found == changes_.end() ? nullptr : &*found;
    }
    void expect_layout(const std::string& name, const std::vector<std::string>& details) const {
        const TypeChange* change = find(name);
        ASSERT_NE(change, nullptr) << name;
        EXPECT_TRUE(change->layout) << name;
        EXPECT_EQ(change->details, details) << name;
        EXPECT_EQ(change->because, "") << name;
    }
    void expect_meaning(const std::string& name, const std::vector<std::string>& details) const {
        const TypeChange* change = find(name);
        ASSERT_NE(change, nullptr) << name;
        EXPECT_FALSE(change->layout) << name;
        EXPECT_EQ(change->details, details) << name;
    }
};

TEST_F(Types, NamesOfTypesOnlyAreNoChange) {
    for (const char* name : {"Unchanged", "Moved", "OldName", "NewName", "OnlyBefore", "OnlyAfter", "PointsAtInner"})
        EXPECT_EQ(find(name), nullptr) << name << ": " << find(name)->text();
}

TEST_F(Types, MembersAreComparedAndNotSizes) {
    expect_layout("InPadding", {"member 'flags' was added at byte 1 (char)"});
    expect_layout("Removed", {"member 'third' was removed (char, byte 5)"});
    expect_layout("Reordered",
                  {"member 'offset' moved from byte 0 to byte 4", "member 'length' moved from byte 4 to byte 0"});
    expect_layout("Retyped", {"member 'value' was int and is float"});
    expect_layout("Bits", {"member 'high' had 5 bits and has 6"});
    expect_layout("Sized", {"member 'name' was char[16] and is char[24]", "its size was 16 and is 24"});
    expect_layout("Unnamed",
                  {"member 'number' moved from byte 4 to byte 8", "member 'text' moved from byte 4 to byte 8",
                   "member 'wide' was added at byte 8 (long int)", "its size was 12 and is 16"});
    expect_layout("Callback", {"member 'function' was function* and is function*"});
    expect_layout("Derived", {"member 'own' moved from byte 0 to byte 4",
                              "base class 'pairs::Base' was added at byte 0 "
                              "(pairs::Base)",
                              "its size was 4 and is 8"});
    expect_layout("Box<int>", {"member 'full' was added at byte 4 (bool)", "its size was 4 and is 8"});
    expect_layout("Tree", {"member 'weight' was added at byte 16 (int)", "its size was 16 and is 24"});
    expect_layout("named_by_typedef", {"member 'owner' was added at byte 4 (int)", "its size was 4 and is 8"});
}

TEST_F(Types, TheCauseIsTheInnermostType) {
    expect_layout("Inner", {"member 'b' moved from byte 4 to byte 8", "member 'added' was added at byte 4 (int)",
                            "its size was 8 and is 12"});
    const TypeChange* outer = find("Outer");
    ASSERT_NE(outer, nullptr);
    EXPECT_EQ(outer->because, "pairs::Inner");
}

TEST_F(Types, OtherMeaningInTheSameBytes) {
    expect_meaning("Renamed", {"member 'old_name' is now called 'fresh_name'"});
    expect_meaning("Signed", {"member 'value' was int and is unsigned int"});
    expect_meaning("Colour", {"'yellow' was 1 and is 2"});
}

TEST_F(Types, AClosureAddedAboveChangesNone) {
    for (const TypeChange& change : changes_) EXPECT_EQ(change.name.find("closures"), std::string::npos) << change.name;
}

TEST_F(Types, TypesInAFunctionKnowIt) {
    const TypeChange* change = find("local()::Pair");
    ASSERT_NE(change, nullptr);
    EXPECT_EQ(before_.type(change->before).local_to, "_ZN5pairs5localEi");
    EXPECT_EQ(before_.type(change->before).place.file, "tests/unit/pairs/types.cpp");
}

TEST_F(Types, EveryChangeIsExpected) {
    std::string all;
    for (const TypeChange& change : changes_) all += change.name + ": " + change.text() + "\n";
    EXPECT_EQ(changes_.size(), 18u) << all;
}

TEST_F(Types, NothingChangesAgainstItself) {
    EXPECT_TRUE(compare_types(before_, before_).empty());
    EXPECT_TRUE(compare_types(after_, after_).empty());
}

TEST_F(Types, FunctionsVariablesAndLinesHavePlaces) {
    auto function = std::find_if(before_.functions().begin(), before_.functions().end(),
                                 [](const DebugFunction& one) { return one.name == "_ZN5pairs5localEi"; });
    ASSERT_NE(function, before_.functions().end());
    EXPECT_EQ(before_.function_at(function->where), &*function);
    EXPECT_EQ(before_.line_at(function->where).file, "tests/unit/pairs/types.cpp");
    EXPECT_EQ(before_.line_at(function->where).line, function->place.line);
    EXPECT_EQ(before_.line_at({.section = function->where.section, .offset = 1 << 20}).file, "");
    auto variable = std::find_if(before_.variables().begin(), before_.variables().end(),
                                 [](const DebugVariable& one) { return one.name == "pairs::bits"; });
    ASSERT_NE(variable, before_.variables().end());
    EXPECT_EQ(before_.type_text(variable->type), "pairs::Bits");
    EXPECT_EQ(before_.variable_at(variable->where), &*variable);
}

}  // namespace
}  // namespace graft::differ
