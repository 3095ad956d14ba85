#include "tools/differ/differ.h"

#include <algorithm>

#include <fmt/format.h>

#include "formats/klp.h"
#include "tools/differ/changes.h"
#include "tools/differ/decide.h"
#include "tools/differ/emit.h"
#include "tools/differ/judge.h"
#include "tools/differ/plan.h"

namespace graft::differ {
namespace {

PackResult<void> check_texts(const Texts& texts) {
    for (const std::string* name : {&texts.name, &texts.set}) {
        bool may_be_empty = name == &texts.set;
        if ((name->empty() && may_be_empty) || formats::is_patch_name(*name)) continue;
        return tools::pack_error(
            fmt::format("'{}': can't be a patch's or set's name: 1 to {} of A-Z a-z 0-9 . _ - +, the first a letter or "
                        "digit",
                        *name, formats::kKlpMaxPatchName));
    }
    return {};
}

void sort_findings(Result& result) {
    auto by_place = [](const auto& left, const auto& right) {
        return std::tie(left.place.file, left.place.line) < std::tie(right.place.file, right.place.line);
    };
    std::ranges::stable_sort(result.refusals, [](const Refusal& left, const Refusal& right) {
        return std::tie(left.place.file, left.place.line, left.subject, left.reason) <
               std::tie(right.place.file, right.place.line, right.subject, right.reason);
    });
    std::ranges::stable_sort(result.warnings, by_place);
    std::ranges::stable_sort(result.guesses, by_place);
    std::ranges::sort(result.added);
}

// A patch needs something that it does: a function that it replaces, or a state.
bool does_something(const Comparison& comparison) {
    bool replaces = std::ranges::any_of(comparison.carried, [](const Carried& one) { return one.replaces != 0; });
    return replaces || !comparison.states.empty();
}

// What ran at boot and has changed is worth a warning beside other changes. Alone it would make a patch without effect.
void refuse_boot_only(Result& result) {
    auto is_boot_only = [](const Remark& warning) { return warning.code == "boot-only"; };
    for (const Remark& warning : result.warnings) {
        if (!is_boot_only(warning)) continue;
        result.refusals.push_back({.code = warning.code,
                                   .place = warning.place,
                                   .subject = {},
                                   .reason = warning.text,
                                   .advice = "do in a state's callback what it should have done, or plan a reboot"});
    }
    std::erase_if(result.warnings, is_boot_only);
}

}  // namespace

std::string_view decision_name(DecisionKind kind) {
    switch (kind) {
        case DecisionKind::unchanged:
            return "unchanged";
        case DecisionKind::changed:
            return "changed";
        case DecisionKind::added:
            return "new";
        case DecisionKind::removed:
            return "removed";
        case DecisionKind::held:
            return "held";
    }
    return "";
}

std::string SourcePlace::text() const {
    return line == 0 ? file : fmt::format("{}:{}", file, line);
}

std::string Refusal::text() const {
    std::string result = place.known() ? place.text() + ": " : "";
    if (!subject.empty()) result += fmt::format("'{}': ", subject);
    result += reason;
    if (!advice.empty()) result += fmt::format(" ({})", advice);
    return result;
}

usize Result::count(DecisionKind kind) const {
    return static_cast<usize>(std::ranges::count(decisions, kind, &Decision::kind));
}

PackResult<Result> compare(const Request& request) {
    GRAFT_CHECK(check_texts(request.texts));
    tools::Image image = GRAFT_TRY(tools::Image::open(GRAFT_TRY(tools::read_file(request.image)), request.image));
    std::vector<std::byte> map_text = GRAFT_TRY(tools::read_file(request.map));
    LinkMap map =
        GRAFT_TRY(LinkMap::parse({reinterpret_cast<const char*>(map_text.data()), map_text.size()}, request.map));

    Result result;
    Comparison comparison;
    comparison.request = &request;
    comparison.image = &image;
    comparison.map = &map;
    GRAFT_CHECK(find_changes(comparison, result));
    Plan plan = Plan::make(comparison, result);
    decide(comparison, result);
    GRAFT_CHECK(judge(comparison, result));
    if (!does_something(comparison)) refuse_boot_only(result);
    if (!result.refused() && does_something(comparison)) result.patch = GRAFT_TRY(emit(comparison, plan, result));
    sort_findings(result);
    return result;
}

}  // namespace graft::differ
