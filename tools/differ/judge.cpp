#include "tools/differ/judge.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/differ/judge_context.h"

namespace graft::differ {
u32 JudgeContext::unit_of(const Decision& decision) const {
    auto found = std::find_if(comparison.units.begin(), comparison.units.end(),
                              [&](const UnitPair& pair) { return pair.unit->source == decision.unit; });
    return static_cast<u32>(found - comparison.units.begin());
}

void JudgeContext::refuse(std::string code, SourcePlace place, std::string subject, std::string reason,
                          std::string advice) {
    result.refusals.push_back({.code = std::move(code),
                               .place = std::move(place),
                               .subject = std::move(subject),
                               .reason = std::move(reason),
                               .advice = std::move(advice)});
}

void JudgeContext::warn(std::string code, SourcePlace place, std::string text) {
    result.warnings.push_back({.code = std::move(code), .place = std::move(place), .text = std::move(text)});
}

std::string list_names(const std::vector<std::string>& names, usize most) {
    usize shown = names.size() > most ? most - 1 : names.size();
    std::string text;
    for (usize i = 0; i < shown; ++i) {
        bool last = i + 1 == names.size();
        text += fmt::format("{}'{}'", i == 0 ? "" : last ? " and " : ", ", demangled(names[i]));
    }
    return shown < names.size() ? text + fmt::format(" and {} more", names.size() - shown) : text;
}

PackResult<void> judge(const Comparison& comparison, Result& result) {
    const std::string& image = comparison.request->image;
    std::vector<std::byte> bytes = GRAFT_TRY(tools::read_file(image));
    CallGraph graph = GRAFT_TRY(CallGraph::read(bytes, image));
    JudgeContext context{comparison, result, std::move(graph)};
    judge_types(context);
    judge_data(context);
    judge_code(context);
    explain_decisions(context);
    return judge_holds(context);
}

}  // namespace graft::differ
