// Where functions are, where changed ones first differ, and what was inlined into them.

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "tools/differ/judge_context.h"
#include "tools/differ/listing.h"

namespace graft::differ {
namespace {

// Sources of the tree, not the compiler's own headers.
bool is_ours(const SourcePlace& place) {
    return place.known() && !place.file.starts_with('/');
}

struct Side {
    const UnitObject& object;
    const DebugInfo& debug;
    u32 item;

    CodePlace place(u64 at) const {
        return {.section = object.item(item).section, .offset = object.item(item).offset + at};
    }
    const DebugFunction* function() const { return item == 0 ? nullptr : debug.function_at(place(0)); }
    // The calls that the code at `at` was inlined for, outermost first.
    std::vector<const InlinedCall*> inlined_at(u64 at) const {
        std::vector<const InlinedCall*> found;
        const DebugFunction* described = function();
        if (!described) return found;
        u64 offset = place(at).offset;
        for (const InlinedCall& call : described->inlined) {
            bool holds = std::any_of(call.ranges.begin(), call.ranges.end(),
                                     [&](const auto& range) { return offset >= range.begin && offset < range.end; });
            if (holds) found.push_back(&call);
        }
        std::stable_sort(found.begin(), found.end(),
                         [](auto* left, auto* right) { return left->depth < right->depth; });
        return found;
    }
    // Instructions that were merged or moved belong to no range of an inlined call, but still to a line: the inlined
    // function that begins last before it (unless the function itself does), else one that is called on that line.
    const InlinedCall* inlined_by_line(u64 at) const {
        const DebugFunction* described = function();
        SourcePlace line = debug.line_at(place(at));
        if (!described || !line.known()) return nullptr;
        auto before_line = [&](const SourcePlace& one) { return one.file == line.file && one.line <= line.line; };
        const InlinedCall* best = nullptr;
        const InlinedCall* called = nullptr;
        u32 begins = before_line(described->place) ? described->place.line : 0;
        for (const InlinedCall& call : described->inlined) {
            if (!called && call.call.file == line.file && call.call.line == line.line && is_ours(call.place))
                called = &call;
            if (!before_line(call.place) || call.place.line <= begins) continue;
            best = &call;
            begins = call.place.line;
        }
        return best ? best : called;
    }
    // How often each function of the tree is inlined.
    std::map<std::string, int> inlined_names() const {
        std::map<std::string, int> names;
        if (const DebugFunction* described = function())
            for (const InlinedCall& call : described->inlined)
                if (is_ours(call.place)) ++names[call.name];
        return names;
    }
};

class Explainer {
public:
    explicit Explainer(JudgeContext& context) : context_(context) {}

    void run() {
        for (Decision& decision : context_.result.decisions) {
            u32 unit = context_.unit_of(decision);
            if (unit < context_.comparison.units.size()) explain(decision, unit);
        }
    }

private:
    void explain(Decision& decision, u32 unit) {
        const UnitPair& pair = context_.comparison.units[unit];
        u32 new_item = pair.patched.find(decision.name);
        u32 old_item = new_item != 0 ? pair.to_baseline[new_item] : pair.baseline.find(decision.name);
        if (!decision.place.known())
            decision.place = new_item != 0 ? context_.comparison.new_place({unit, new_item})
                                           : context_.comparison.old_place({unit, old_item});
        if (decision.kind == DecisionKind::removed && decision.reason.empty())
            decision.reason = "the image keeps it: pointers to it stay valid";
        if (decision.kind != DecisionKind::changed || new_item == 0 || old_item == 0) return;
        Side before{pair.baseline, context_.before(unit), old_item};
        Side after{pair.patched, context_.after(unit), new_item};
        const Difference& difference = pair.differences[new_item];
        describe_difference(decision.first_difference, before, after, difference);
        std::string inlined = inlined_text(before, after, difference);
        if (!inlined.empty()) decision.reason += (decision.reason.empty() ? "" : "; ") + inlined;
    }

    static void describe_difference(FirstDifference& first, const Side& before, const Side& after,
                                    const Difference& difference) {
        first.place = after.debug.line_at(after.place(difference.new_at));
        if (!first.place.known()) first.place = before.debug.line_at(before.place(difference.old_at));
        first.before = instruction_of(before.object, before.item, difference.old_at);
        first.after = instruction_of(after.object, after.item, difference.new_at);
        auto calls = after.inlined_at(difference.new_at);
        if (calls.empty()) calls = before.inlined_at(difference.old_at);
        if (const InlinedCall* by_line = calls.empty() ? after.inlined_by_line(difference.new_at) : nullptr)
            calls.push_back(by_line);
        for (const InlinedCall* call : calls)
            first.inlined.push_back(fmt::format("'{}' at {}", demangled(call->name), call->call.text()));
    }

    std::string inlined_text(const Side& before, const Side& after, const Difference& difference) const {
        std::vector<std::string> texts;
        auto old_names = before.inlined_names();
        auto new_names = after.inlined_names();
        std::vector<std::string> gained;
        std::vector<std::string> lost;
        for (const auto& [name, count] : new_names)
            if (!old_names.contains(name)) gained.push_back(name);
        for (const auto& [name, count] : old_names)
            if (!new_names.contains(name)) lost.push_back(name);
        if (!gained.empty())
            texts.push_back(list_names(gained) + (gained.size() == 1 ? " is" : " are") + " inlined into it now");
        if (!lost.empty())
            texts.push_back(list_names(lost) + (lost.size() == 1 ? " is" : " are") + " no longer inlined into it");
        if (texts.empty()) {
            if (const InlinedCall* call = responsible(before, after, difference))
                texts.push_back(fmt::format("code of '{}' was inlined into it", demangled(call->name)));
        }
        return fmt::format("{}", fmt::join(texts, "; "));
    }

    // The innermost function of the tree that the first difference lies in, on either side.
    static const InlinedCall* responsible(const Side& before, const Side& after, const Difference& difference) {
        for (auto calls : {after.inlined_at(difference.new_at), before.inlined_at(difference.old_at)}) {
            for (auto call = calls.rbegin(); call != calls.rend(); ++call)
                if (is_ours((*call)->place)) return *call;
        }
        const InlinedCall* by_line = after.inlined_by_line(difference.new_at);
        return by_line ? by_line : before.inlined_by_line(difference.old_at);
    }

    JudgeContext& context_;
};

}  // namespace

void explain_decisions(JudgeContext& context) {
    Explainer(context).run();
}

}  // namespace graft::differ
