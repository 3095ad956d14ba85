// What the judges share: debug information of both sides, the image's calls, and how to say where something is.
#pragma once

#include <string>
#include <vector>

#include "tools/differ/call_graph.h"
#include "tools/differ/comparison.h"
#include "tools/differ/debug_info.h"
#include "tools/differ/types_compare.h"

namespace graft::differ {

struct JudgeContext {
    const Comparison& comparison;
    Result& result;
    CallGraph graph;

    const DebugInfo& before(u32 unit) const { return *comparison.units[unit].baseline_debug; }
    const DebugInfo& after(u32 unit) const { return *comparison.units[unit].patched_debug; }
    // The unit of a decision; the number of units if it has none.
    u32 unit_of(const Decision& decision) const;

    void refuse(std::string code, SourcePlace place, std::string subject, std::string reason, std::string advice);
    void warn(std::string code, SourcePlace place, std::string text);
};

void judge_types(JudgeContext& context);
void judge_data(JudgeContext& context);
void judge_code(JudgeContext& context);
PackResult<void> judge_holds(JudgeContext& context);

// Fills in places and the names of what was inlined.
void explain_decisions(JudgeContext& context);

// "'a'", "'a' and 'b'", "'a', 'b' and 3 more": readable names for messages.
std::string list_names(const std::vector<std::string>& names, usize most = 4);

}  // namespace graft::differ
