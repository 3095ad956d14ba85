// Which unchanged functions are held: what calls two changed functions, or what the author names.

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/differ/judge_context.h"

namespace graft::differ {
namespace {

using tools::pack_error;

class Holds {
public:
    explicit Holds(JudgeContext& context) : context_(context) {}

    PackResult<void> run() {
        for (const Decision& decision : context_.result.decisions)
            if (decision.kind == DecisionKind::changed && decision.entry != 0) changed_[decision.entry] = decision.name;
        for (const std::string& name : context_.comparison.request->holds.named) GRAFT_CHECK(hold_named(name));
        if (context_.comparison.request->holds.automatic) hold_callers();
        return {};
    }

private:
    PackResult<void> hold_named(const std::string& name) {
        std::vector<const CodeNode*> found;
        for (const auto& [entry, node] : context_.graph.nodes()) {
            bool matches = std::any_of(node.names.begin(), node.names.end(),
                                       [&](const std::string& one) { return one == name || demangled(one) == name; });
            if (matches && !node.start_code) found.push_back(&node);
        }
        if (found.empty()) return pack_error(fmt::format("--hold {}: the image has no such function", name));
        if (found.size() > 1)
            return pack_error(fmt::format("--hold {}: the image has {} functions of that name", name, found.size()));
        if (changed_.contains(found[0]->entry))
            return pack_error(fmt::format("--hold {}: it is replaced by the patch, which holds it already", name));
        hold(*found[0], "named by --hold");
        return {};
    }

    void hold_callers() {
        for (const auto& [entry, node] : context_.graph.nodes()) {
            // What ran at boot is over, unless it is a loop that runs on.
            bool over = node.start_code || (node.has_return && context_.graph.is_boot_only(entry));
            if (changed_.contains(entry) || over) continue;
            std::set<u64> called;
            for (const CodeCall& call : node.calls)
                if (changed_.contains(call.target)) called.insert(call.target);
            if (called.size() < 2) continue;
            std::vector<std::string> names;
            for (u64 target : called) names.push_back(changed_.at(target));
            consider(node, list_names(names));
        }
    }

    void consider(const CodeNode& node, const std::string& calls) {
        auto function = context_.comparison.image->function_at(VirtAddr(node.entry));
        bool permanent = function && function->no_patch;
        if (node.has_return && !permanent) {
            hold(node, "calls " + calls + ", which change together");
            return;
        }
        context_.warn(
            "not-held", {},
            fmt::format("'{}' calls {} and isn't held, since it {}: each of its calls is all old or all new, "
                        "two calls in a row may differ",
                        demangled(node.name()), calls, permanent ? "is on the no-patch list" : "never returns"));
    }

    void hold(const CodeNode& node, std::string reason) {
        auto& decisions = context_.result.decisions;
        // A new body of a coroutine, or clone, stands beside the image's, which is the one that is held.
        auto known = std::find_if(decisions.begin(), decisions.end(), [&](const Decision& decision) {
            return decision.entry == node.entry && decision.kind != DecisionKind::added;
        });
        if (known != decisions.end() && known->kind == DecisionKind::held) return;
        Decision held = known == decisions.end() ? Decision{} : *known;
        held.kind = DecisionKind::held;
        held.reason = std::move(reason);
        held.entry = node.entry;
        held.endless = !node.has_return;
        if (known != decisions.end()) {
            *known = std::move(held);
            return;
        }
        // The image's canonical name of the address, by which the patch names it.
        auto function = context_.comparison.image->function_at(VirtAddr(node.entry));
        held.name = function ? function->name : node.name();
        held.demangled = demangled(held.name);
        held.old_size = node.size;
        decisions.push_back(std::move(held));
    }

    JudgeContext& context_;
    std::map<u64, std::string> changed_;  // entry, linkage name
};

}  // namespace

PackResult<void> judge_holds(JudgeContext& context) {
    return Holds(context).run();
}

}  // namespace graft::differ
