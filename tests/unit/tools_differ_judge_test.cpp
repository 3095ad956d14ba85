// What compare() refuses, warns of and holds: the objects of tests/unit/pairs against the small image made of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tools/differ/differ.h"
#include "tools/differ/listing.h"

namespace graft::differ {
namespace {

constexpr const char* kFolder = "build/check/pairs/";

Request request_for(const std::vector<std::string>& pairs) {
    Request request;
    request.image = std::string(kFolder) + "image.elf";
    request.map = std::string(kFolder) + "map";
    request.texts.name = "test";
    for (const std::string& name : pairs) {
        std::string file = name.find('.') == std::string::npos ? name + ".cpp" : name;
        std::string object = kFolder + file + ".";
        request.units.push_back({.source = "tests/unit/pairs/" + file,
                                 .linked_as = object + "before.o",
                                 .baseline = object + "before.o",
                                 .patched = object + "after.o"});
    }
    return request;
}

Result compared(const Request& request) {
    auto result = compare(request);
    if (!result) throw std::runtime_error(result.error().text);
    return std::move(*result);
}

const Decision* find(const Result& result, const std::string& demangled) {
    auto found = std::ranges::find(result.decisions, demangled, &Decision::demangled);
    return found == result.decisions.end() ? nullptr : &*found;
}

const Refusal* refusal(const Result& result, const std::string& subject) {
    auto found = std::ranges::find(result.refusals, subject, &Refusal::subject);
    return found == result.refusals.end() ? nullptr : &*found;
}

std::vector<std::string> warnings(const Result& result, const std::string& code) {
    std::vector<std::string> texts;
    for (const Remark& warning : result.warnings)
        if (warning.code == code) texts.push_back(warning.text);
    return texts;
}

std::string all_refusals(const Result& result) {
    std::string all;
    for (const Refusal& one : result.refusals) all += one.code + " " + one.text() + "\n";
    return all;
}

void expect_refused(const Result& result, const std::string& subject, const std::string& code,
                    const std::string& part) {
    const Refusal* found = refusal(result, subject);
    ASSERT_NE(found, nullptr) << subject << "\n" << all_refusals(result);
    EXPECT_EQ(found->code, code);
    EXPECT_NE(found->reason.find(part), std::string::npos) << found->text();
    EXPECT_FALSE(found->advice.empty());
    EXPECT_TRUE(found->place.file.starts_with("tests/unit/pairs/")) << found->text();
    EXPECT_NE(found->place.line, 0u) << found->text();
}

// ---- code -----------------------------------------------------------------------------------------------------------

TEST(JudgeCode, CallersOfTwoChangedFunctionsAreHeld) {
    Result result = compared(request_for({"code"}));
    EXPECT_EQ(all_refusals(result), "");
    EXPECT_FALSE(result.patch.empty());
    ASSERT_NE(find(result, "code::calls_both()"), nullptr);
    EXPECT_EQ(find(result, "code::calls_both()")->kind, DecisionKind::held);
    EXPECT_EQ(find(result, "code::calls_both()")->reason,
              "calls 'code::first()' and 'code::second()', which change together");
    EXPECT_EQ(find(result, "code::calls_one_twice()")->kind, DecisionKind::unchanged);
    EXPECT_EQ(result.count(DecisionKind::held), 1u);
}

TEST(JudgeCode, EndlessCallersAreNamedButNotHeld) {
    Result result = compared(request_for({"code"}));
    auto texts = warnings(result, "not-held");
    ASSERT_EQ(texts.size(), 2u);  // use_all() ends in an endless one
    bool named = std::ranges::any_of(texts, [](const std::string& text) {
        return text.starts_with("'code::main_loop()' calls 'code::first()' and 'code::second()'");
    });
    EXPECT_TRUE(named) << texts[0] << texts[1];
    EXPECT_EQ(find(result, "code::main_loop()")->kind, DecisionKind::unchanged);
}

TEST(JudgeCode, NothingIsHeldWhenNotAskedFor) {
    Request request = request_for({"code"});
    request.holds.automatic = false;
    EXPECT_EQ(compared(request).count(DecisionKind::held), 0u);
    request.holds.named = {"code::third()"};
    Result result = compared(request);
    EXPECT_EQ(result.count(DecisionKind::held), 1u);
    EXPECT_EQ(find(result, "code::third()")->kind, DecisionKind::held);
    request.holds.named = {"code::no_such()"};
    EXPECT_FALSE(compare(request).has_value());
    request.holds.named = {"code::first()"};
    EXPECT_FALSE(compare(request).has_value());
}

TEST(JudgeCode, BootOnlyBesideOthersIsAWarning) {
    Result result = compared(request_for({"code"}));
    auto texts = warnings(result, "boot-only");
    ASSERT_EQ(texts.size(), 1u);
    EXPECT_NE(texts[0].find("'code::set_up()': it only runs while the image boots (from pairs_start)"),
              std::string::npos)
        << texts[0];
}

TEST(JudgeCode, BootOnlyAloneIsRefused) {
    Result result = compared(request_for({"boot"}));
    expect_refused(result, "boot_pair::start_value()", "boot-only", "has no effect");
    EXPECT_TRUE(result.patch.empty());
}

TEST(JudgeCode, WhatIsGoneAfterBootIsNeitherReplacedNorUsed) {
    Result alone = compared(request_for({"gone"}));
    expect_refused(alone, "", "boot-only",
                   "'gone::prepare(int)' only runs while the image boots, and its code is gone");
    Result used = compared(request_for({"gone_user"}));
    expect_refused(used, "gone::prepare(int)", "gone-after-boot", "used by 'gone::late()'");
    EXPECT_TRUE(used.patch.empty());
}

TEST(JudgeCode, WhatCannotBeReplacedIsRefusedWithItsOwnReason) {
    Result result = compared(request_for({"refused"}));
    expect_refused(result, "refused::permanent()", "no-patch", "it is on the no-patch list");
    expect_refused(result, "refused::permanent()", "no-patch", "(permanent code)");
    expect_refused(result, "refused::called_by_permanent()", "no-patch", "(via refused::permanent)");
    expect_refused(result, "refused::without_site()", "no-call-site", "it has no call site in the image");
    EXPECT_EQ(refusal(result, "refused::replaceable()"), nullptr);
    EXPECT_EQ(result.refusals.size(), 3u) << all_refusals(result);
    EXPECT_TRUE(result.patch.empty());
}

TEST(JudgeCode, ChangedAssemblyIsRefusedWhole) {
    Result result = compared(request_for({"code", "sums.S"}));
    ASSERT_EQ(result.refusals.size(), 1u) << all_refusals(result);
    EXPECT_EQ(result.refusals[0].code, "changed-assembly");
    EXPECT_EQ(result.refusals[0].subject, "tests/unit/pairs/sums.S");
    EXPECT_NE(result.refusals[0].reason.find("its section .text holds"), std::string::npos) << all_refusals(result);
    EXPECT_FALSE(result.refusals[0].advice.empty());
    EXPECT_TRUE(result.patch.empty());
}

TEST(JudgeCode, EndlessFunctionsAreFlagged) {
    Result result = compared(request_for({"code"}));
    ASSERT_NE(find(result, "code::endless()"), nullptr);
    EXPECT_TRUE(find(result, "code::endless()")->endless);
    EXPECT_FALSE(find(result, "code::first()")->endless);
    EXPECT_EQ(warnings(result, "endless").size(), 1u);
}

TEST(JudgeCode, ReasonsNameWhatWasInlined) {
    Result result = compared(request_for({"code"}));
    const Decision* user = find(result, "code::uses_clamp(int)");
    ASSERT_NE(user, nullptr);
    EXPECT_NE(user->reason.find("code of 'code::clamp(int)' was inlined into it"), std::string::npos) << user->reason;
    EXPECT_EQ(user->first_difference.place.file, "tests/unit/pairs/code.cpp");
    ASSERT_EQ(user->first_difference.inlined.size(), 1u);
    EXPECT_TRUE(user->first_difference.inlined[0].starts_with("'code::clamp(int)' at tests/unit/pairs/code.cpp:"));
    EXPECT_FALSE(user->first_difference.before.empty());
    EXPECT_NE(user->first_difference.before, user->first_difference.after);
    const Decision* loser = find(result, "code::loses_inlined(int)");
    ASSERT_NE(loser, nullptr);
    EXPECT_NE(loser->reason.find("'code::helper(int)' is no longer inlined into it"), std::string::npos)
        << loser->reason;
    const Decision* winner = find(result, "code::gains_inlined(int)");
    ASSERT_NE(winner, nullptr);
    EXPECT_NE(winner->reason.find("'code::joined(int)' is inlined into it now"), std::string::npos) << winner->reason;
}

TEST(JudgeCode, TheInnermostInlinedFunctionIsResponsible) {
    Result result = compared(request_for({"code"}));
    const Decision* user = find(result, "code::uses_nested(int)");
    ASSERT_NE(user, nullptr);
    EXPECT_NE(user->reason.find("code of 'code::innermost(int)' was inlined into it"), std::string::npos)
        << user->reason;
    ASSERT_EQ(user->first_difference.inlined.size(), 2u);
    EXPECT_TRUE(user->first_difference.inlined[0].starts_with("'code::around(int)' at tests/unit/pairs/code.cpp:"));
    EXPECT_TRUE(user->first_difference.inlined[1].starts_with("'code::innermost(int)' at tests/unit/pairs/code.cpp:"));
}

TEST(JudgeCode, PointersToNewFunctionsAreNamed) {
    Result result = compared(request_for({"code"}));
    auto texts = warnings(result, "address-outlives");
    ASSERT_EQ(texts.size(), 1u);
    EXPECT_TRUE(
        texts[0].starts_with("'code::new_callback()' is new and its address is taken in "
                             "'code::stores_callback()'"))
        << texts[0];
}

TEST(JudgeCode, ACoroutinesBodyStaysBesideTheNewOne) {
    Result result = compared(request_for({"coroutine"}));
    EXPECT_TRUE(result.refusals.empty()) << result.refusals[0].text();
    std::map<std::string, DecisionKind> decided;
    for (const Decision& one : result.decisions)
        if (one.kind != DecisionKind::held) decided[one.name] = one.kind;
    EXPECT_EQ(decided.at("_ZN10coroutines7changesEi"), DecisionKind::changed);
    EXPECT_EQ(decided.at("_ZN10coroutines5staysEi"), DecisionKind::unchanged);
    usize bodies = 0;
    for (const auto& [name, kind] : decided) {
        if (name.find(".Frame.") == std::string::npos) continue;
        bool changes = name.find("_ZN10coroutines7changesEi.Frame.") != std::string::npos;
        EXPECT_EQ(kind, changes ? DecisionKind::added : DecisionKind::unchanged) << name;
        bodies += changes;
    }
    EXPECT_EQ(bodies, 2u);
    std::vector<std::string> texts = warnings(result, "changed-coroutine");
    ASSERT_EQ(texts.size(), 1u);
    EXPECT_NE(texts[0].find("'coroutines::changes(int)' is a coroutine"), std::string::npos) << texts[0];
    EXPECT_TRUE(warnings(result, "address-outlives").empty());
}

TEST(JudgeCode, TheOldBodyOfACoroutineIsHeldLikeAnyFunction) {
    Result result = compared(request_for({"coroutine"}));
    auto held = std::ranges::find(result.decisions, DecisionKind::held, &Decision::kind);
    ASSERT_NE(held, result.decisions.end());
    EXPECT_EQ(result.count(DecisionKind::held), 1u);
    EXPECT_NE(held->name.find("changesEi.Frame.actor"), std::string::npos) << held->name;
    EXPECT_EQ(held->reason, "calls 'coroutines::begin_round()' and 'coroutines::end_round()', which change together");
}

// ---- data -----------------------------------------------------------------------------------------------------------

TEST(JudgeData, InitialValuesAndSizes) {
    Result result = compared(request_for({"data"}));
    expect_refused(result, "data::value", "changed-data", "its initial value changed");
    expect_refused(result, "data::was_zero", "changed-data", "it began as zero");
    expect_refused(result, "data::becomes_zero", "changed-data", "begins as zero now");
    expect_refused(result, "data::length", "changed-data", "its size was 16 bytes and is 24");
    expect_refused(result, "data::limits", "changed-data", "constant can't be written");
    expect_refused(result, "data::handlers", "changed-data", "constant can't be written");
    EXPECT_EQ(refusal(result, "data::unchanged"), nullptr);
}

TEST(JudgeData, Vtables) {
    Result result = compared(request_for({"data"}));
    expect_refused(result, "vtable for data::Slots", "changed-vtable", "it had 4 entries and has 5");
    EXPECT_EQ(refusal(result, "vtable for data::SameShape"), nullptr);
    ASSERT_NE(refusal(result, "vtable for data::Override"), nullptr);
}

TEST(JudgeData, WhatIsNewAndWhatIsLeft) {
    Result result = compared(request_for({"data"}));
    auto fresh = warnings(result, "new-data");
    ASSERT_EQ(fresh.size(), 1u);
    EXPECT_TRUE(fresh[0].starts_with("'data::new_counter' is new")) << fresh[0];
    auto removed = warnings(result, "removed-data");
    ASSERT_EQ(removed.size(), 1u);
    EXPECT_TRUE(removed[0].starts_with("'data::removed' was removed")) << removed[0];
}

// ---- types ----------------------------------------------------------------------------------------------------------

TEST(JudgeTypes, OnlyTypesWithoutObjectsMayChange) {
    Result result = compared(request_for({"locals"}));
    EXPECT_EQ(refusal(result, "locals::on_the_stack()::Pair"), nullptr) << all_refusals(result);
    expect_refused(result, "locals::in_a_static()::Kept", "changed-layout", "member 'flag' was char[2] and is char");
    expect_refused(result, "locals::in_another_type()::Inner", "changed-layout", "member 'extra' was added at byte 4");
}

TEST(JudgeTypes, CausesAreRefusedOnce) {
    Result result = compared(request_for({"types", "locals"}));
    expect_refused(result, "pairs::Inner", "changed-layout",
                   "contained in 'pairs::Outer'; used by 'pairs::uses_outer(");
    EXPECT_EQ(refusal(result, "pairs::Outer"), nullptr);
    auto texts = warnings(result, "changed-meaning");
    EXPECT_EQ(texts.size(), 3u);
}

// ---- listings -------------------------------------------------------------------------------------------------------

std::vector<ListedInstruction> listing_of(std::initializer_list<u8> code, u64 address) {
    CodeNames names;
    names.address = [](u64 at) { return at == 0x2000 ? std::string("'callee()'") : std::string(); };
    std::vector<u8> bytes(code);
    return list_code(std::as_bytes(std::span(bytes)), address, names);
}

TEST(Listing, TargetsHaveNamesAndInnerOnesDoNotCount) {
    // test edi, edi; je +6; call callee; ret
    auto low = listing_of({0x85, 0xff, 0x74, 0x05, 0xe8, 0xf7, 0x0f, 0x00, 0x00, 0xc3}, 0x1000);
    ASSERT_EQ(low.size(), 4u);
    EXPECT_EQ(low[1].text, "jz +0x9");
    EXPECT_EQ(low[2].text, "call 'callee()'");
    // The same behind one more instruction, elsewhere: only that one differs.
    auto high = listing_of({0x90, 0x85, 0xff, 0x74, 0x05, 0xe8, 0xf6, 0xff, 0xff, 0xff, 0xc3}, 0x2000);
    high[3].text = high[3].key = "call 'callee()'";
    std::vector<std::string> expected = {"@@ +0x0 +0x0 @@", "+     0: nop", "      1: test edi, edi",
                                         "      3: jz +0xa", "      5: call 'callee()'"};
    EXPECT_EQ(difference_of(low, high), expected);
    EXPECT_TRUE(difference_of(low, low).empty());
    EXPECT_EQ(difference_of({}, low).size(), 5u);
}

TEST(Listing, BytesThatAreNoInstruction) {
    auto listed = listing_of({0x06, 0xc3}, 0);
    ASSERT_EQ(listed.size(), 2u);
    EXPECT_EQ(listed[0].text, ".byte 0x06");
    EXPECT_EQ(listed[1].text, "ret");
}

// ---- nothing --------------------------------------------------------------------------------------------------------

TEST(Judge, EqualObjectsMeanNothing) {
    Request request = request_for({"code", "data", "types", "locals", "coroutine", "boot", "refused", "sums.S"});
    for (Unit& unit : request.units) unit.patched = unit.baseline;
    Result result = compared(request);
    EXPECT_TRUE(result.nothing_to_do());
    EXPECT_TRUE(result.warnings.empty());
    EXPECT_EQ(result.count(DecisionKind::changed) + result.count(DecisionKind::held), 0u);
}

}  // namespace
}  // namespace graft::differ
