// Changed code that a patch can't replace, or whose replacement means less than it seems.

#include <elf.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/differ/judge_context.h"
#include "tools/differ/names.h"
#include "tools/patch/pack.h"

namespace graft::differ {
namespace {

bool is_assembly(const std::string& source) {
    return source.ends_with(".S") || source.ends_with(".s");
}

// Sections of an assembly unit that the image has, in words that don't depend on the symbol table's order.
std::map<std::string, std::string> loaded_content(const tools::Object& object) {
    std::map<std::string, std::string> all;
    for (const tools::ObjectSection& section : object.sections) {
        if ((section.flags & SHF_ALLOC) == 0 || section.name.starts_with(".note.")) continue;
        std::string& text = all[section.name];
        text += fmt::format("{}:", section.size);
        text.append(reinterpret_cast<const char*>(section.contents.data()), section.contents.size());
        for (const tools::ObjectRelocation& relocation : section.relocations) {
            const tools::ObjectSymbol& symbol = object.symbols[relocation.symbol];
            const std::string& name =
                symbol.name.empty() && !symbol.is_special() ? object.sections[symbol.section].name : symbol.name;
            text += fmt::format("\n{} {} {} {}", relocation.offset, relocation.type, name, relocation.addend);
        }
    }
    return all;
}

// A body's name is made of its coroutine's twice: as a scope, and whole as that of the frame's type.
std::string coroutine_of(const std::string& body) {
    usize end = body.find(".Frame.");
    usize begin = body.rfind("_Z", end);
    return begin == std::string::npos ? body.substr(0, end) : body.substr(begin, end - begin);
}

class CodeJudge {
public:
    explicit CodeJudge(JudgeContext& context) : context_(context) {}

    void run() {
        for (u32 unit = 0; unit < context_.comparison.units.size(); ++unit) judge_assembly(unit);
        for (Decision& decision : context_.result.decisions) {
            if (decision.kind == DecisionKind::changed) judge_changed(decision);
        }
        warn_of_coroutines();
        judge_boot_only();
        warn_of_taken_addresses();
    }

private:
    void judge_assembly(u32 unit) {
        const UnitPair& pair = context_.comparison.units[unit];
        if (!is_assembly(pair.unit->source) || pair.goes_on()) return;
        auto before = loaded_content(pair.baseline.object());
        auto after = loaded_content(pair.patched.object());
        if (before == after) return;
        std::string which;
        for (const auto* side : {&after, &before}) {
            const auto& other = side == &after ? before : after;
            for (const auto& [name, content] : *side) {
                auto twin = other.find(name);
                bool differs = twin == other.end() || twin->second != content;
                // Unwind tables follow the code; they are named when nothing else differs.
                if (differs && (which.empty() || which == ".eh_frame")) which = name;
            }
        }
        context_.refuse("changed-assembly", {.file = pair.unit->source, .line = 0}, pair.unit->source,
                        fmt::format("assembly has no call sites: what its section {} holds can't be replaced", which),
                        "change its callers in C++, or plan a reboot");
    }

    SourcePlace place_of(const Decision& decision) const {
        u32 unit = context_.unit_of(decision);
        if (unit == context_.comparison.units.size()) return {.file = decision.unit, .line = 0};
        return context_.comparison.new_place({unit, context_.comparison.units[unit].patched.find(decision.name)});
    }

    void judge_changed(Decision& decision) {
        SourcePlace place = place_of(decision);
        if (is_assembly(decision.unit)) return;
        auto old_function = context_.comparison.image->function_at(VirtAddr(decision.entry));
        if (decision.entry == 0 || !old_function) return;
        if (old_function->no_patch) {
            context_.refuse("no-patch", place, decision.demangled,
                            "it is on the no-patch list: it runs while code is being written" + why_no_patch(decision),
                            "change what calls it, or plan a reboot");
            return;
        }
        if (!old_function->has_site) {
            context_.refuse("no-call-site", place, decision.demangled,
                            "it has no call site in the image (assembly, a thunk, or compiled without one)",
                            "change what calls it");
            return;
        }
        judge_endless(decision, place, old_function->has_return);
    }

    std::string why_no_patch(const Decision& decision) const {
        auto begin = context_.comparison.image->visible("__permanent_begin");
        auto end = context_.comparison.image->visible("__permanent_end");
        if (!begin || !end || decision.entry == 0) return {};
        AddressRange permanent{*begin, *end};
        if (permanent.contains(VirtAddr(decision.entry))) return " (permanent code)";
        std::string path = context_.graph.path_from(
            decision.entry, [&](const CodeNode& node) { return permanent.contains(VirtAddr(node.entry)); });
        return path.empty() ? "" : " (via " + path + ")";
    }

    void judge_endless(Decision& decision, const SourcePlace& place, bool old_returns) {
        u32 unit = context_.unit_of(decision);
        bool new_returns = true;
        if (unit < context_.comparison.units.size()) {
            const UnitObject& patched = context_.comparison.units[unit].patched;
            u32 item = patched.find(decision.name);
            if (item != 0 && patched.item(item).symbol != 0)
                new_returns = tools::can_be_left(patched.object(), patched.object().symbols[patched.item(item).symbol])
                                  .value_or(true);
        }
        decision.endless = !old_returns || !new_returns;
        if (!decision.endless) return;
        context_.warn("endless", place,
                      fmt::format("'{}' never returns: a task that runs {} of it keeps the transition from completing; "
                                  "`graft load` wants --allow-endless",
                                  decision.demangled, old_returns ? "the new version" : "the image's version"));
    }

    // A suspended instance's frame is known to the body that made it. So the old one stays, and whatever makes
    // instances has new code, which makes them for the new one.
    void warn_of_coroutines() {
        std::set<std::string> named;
        for (const Decision& decision : context_.result.decisions) {
            if (!is_coroutine_body(decision.name) || decision.kind != DecisionKind::added || decision.entry == 0)
                continue;
            std::string coroutine = demangled(coroutine_of(decision.name));
            if (!named.insert(coroutine).second) continue;
            context_.warn("changed-coroutine", place_of(decision),
                          fmt::format("'{}' is a coroutine: instances that exist go on in the old body, and while one "
                                      "made by the patch exists, the patch's memory can't be freed",
                                      coroutine));
        }
    }

    // ---- code that has run ------------------------------------------------------------------------------------------

    void judge_boot_only() {
        std::vector<const Decision*> boot;
        usize others = 0;
        for (const Decision& decision : context_.result.decisions) {
            if (decision.kind != DecisionKind::changed || decision.entry == 0) continue;
            if (context_.graph.is_boot_only(decision.entry))
                boot.push_back(&decision);
            else
                ++others;
        }
        for (const Decision* decision : boot) {
            std::string from = context_.graph.boot_path(decision->entry);
            std::string reason = decision->endless
                                     ? "it was called once, at boot (from " + from + "), and never returns"
                                     : "it only runs while the image boots (from " + from + ")";
            if (others == 0) {
                context_.refuse("boot-only", place_of(*decision), decision->demangled,
                                reason + ": a patch of it has no effect",
                                "do in a state's callback what it should have done, or plan a reboot");
            } else {
                context_.warn("boot-only", place_of(*decision),
                              fmt::format("'{}': {}: what it has set up stays as it is", decision->demangled, reason));
            }
        }
    }

    // ---- pointers to new functions ----------------------------------------------------------------------------------

    void warn_of_taken_addresses() {
        for (u32 unit = 0; unit < context_.comparison.units.size(); ++unit) {
            const UnitPair& pair = context_.comparison.units[unit];
            std::map<u32, u32> taken;  // new function, by what
            for (u32 i = 1; i < pair.patched.items().size(); ++i) {
                if (pair.new_changes[i] == ItemChange::same) continue;
                for (const Reference& reference : pair.patched.item(i).references) {
                    const Item& target = pair.patched.item(reference.target);
                    bool is_new = target.is_function() && pair.new_changes[reference.target] == ItemChange::added &&
                                  !context_.comparison.image->defines_global(target.name);
                    if (is_coroutine_body(target.name)) continue;  // has a warning of its own when it changed
                    if (is_new && reference.type != R_X86_64_PLT32) taken.emplace(reference.target, i);
                }
            }
            for (auto [function, user] : taken) warn_of_pointer(unit, function, user);
        }
    }

    void warn_of_pointer(u32 unit, u32 function, u32 user) {
        const UnitObject& patched = context_.comparison.units[unit].patched;
        if (is_vtable(patched.item(user).name)) return;
        context_.warn("address-outlives", context_.comparison.new_place({unit, function}),
                      fmt::format("'{}' is new and its address is taken in '{}': while a pointer to it is kept, the "
                                  "patch's memory can't be freed",
                                  demangled(patched.item(function).name), demangled(patched.item(user).name)));
    }

    JudgeContext& context_;
};

}  // namespace

void judge_code(JudgeContext& context) {
    CodeJudge(context).run();
}

}  // namespace graft::differ
