// Types whose layout or meaning a diff changes. One refusal for a type, however many units have it.

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/differ/judge_context.h"

namespace graft::differ {
namespace {

constexpr unsigned kPointersFollowed = 2;  // from a variable to what a function reads through it

// Is `wanted` part of `type`: contained in it, pointed to by it, or an argument of its template?
class Reach {
public:
    explicit Reach(const DebugInfo& info) : info_(info) {}

    bool operator()(u32 type, u32 wanted, unsigned pointers) {
        wanted_ = wanted;
        seen_.clear();
        return reaches(type, pointers);
    }

private:
    bool reaches(u32 type, unsigned pointers) {
        if (type == wanted_) return true;
        auto [seen, first] = seen_.emplace(type, pointers);
        if (!first && seen->second >= pointers) return false;
        seen->second = pointers;
        const TypeNode& node = info_.type(type);
        if (node.kind == TypeKind::pointer) return pointers > 0 && reaches(node.target, pointers - 1);
        if (node.kind == TypeKind::array) return reaches(node.target, pointers);
        for (const TypeMember& member : node.members)
            if (reaches(member.type, pointers)) return true;
        return std::any_of(node.arguments.begin(), node.arguments.end(),
                           [&](u32 argument) { return reaches(argument, pointers); });
    }

    const DebugInfo& info_;
    u32 wanted_ = 0;
    std::map<u32, unsigned> seen_;
};

constexpr unsigned kAllPointers = 64;

class TypeJudge {
public:
    explicit TypeJudge(JudgeContext& context) : context_(context) {}

    void run() {
        for (u32 unit = 0; unit < context_.comparison.units.size(); ++unit) {
            const UnitPair& pair = context_.comparison.units[unit];
            if (pair.is_new() || pair.goes_on() || !changes_code(unit)) continue;
            judge_unit(unit);
        }
        report();
    }

private:
    struct Found {
        TypeChange change;
        SourcePlace place;
        std::vector<std::string> users;      // linkage names of changed functions that use it
        std::vector<std::string> contained;  // in these types, which only changed with it
    };

    bool changes_code(u32 unit) const {
        const UnitPair& pair = context_.comparison.units[unit];
        for (u32 i = 1; i < pair.patched.items().size(); ++i)
            if (pair.patched.item(i).is_function() && pair.new_changes[i] != ItemChange::same) return true;
        return false;
    }

    void judge_unit(u32 unit) {
        const DebugInfo& before = context_.before(unit);
        const DebugInfo& after = context_.after(unit);
        for (TypeChange& change : compare_types(before, after)) {
            // A coroutine's frame belongs to its body: when that changes, the old one stays for the old frames.
            if (change.name.ends_with(".Frame")) continue;
            if (change.layout && lives_in_changed_code_only(unit, change)) continue;
            if (!change.because.empty()) {
                contained_[change.because].insert(change.name);
                continue;
            }
            Found& found = found_[change.name];
            add_users(unit, change, found.users);
            if (!found.change.name.empty()) continue;
            found.place = after.type(change.after).place;
            found.change = std::move(change);
        }
    }

    void add_users(u32 unit, const TypeChange& change, std::vector<std::string>& users) const {
        const UnitPair& pair = context_.comparison.units[unit];
        const DebugInfo& after = context_.after(unit);
        Reach reach(after);
        for (const DebugFunction& function : after.functions()) {
            u32 item = pair.patched.at(function.where.section, static_cast<i64>(function.where.offset));
            if (item == 0 || pair.new_changes[item] == ItemChange::same) continue;
            bool uses = std::any_of(function.uses.begin(), function.uses.end(),
                                    [&](u32 type) { return reach(type, change.after, kPointersFollowed); });
            const std::string& name = pair.patched.item(item).name;
            if (uses && std::find(users.begin(), users.end(), name) == users.end()) users.push_back(name);
        }
    }

    // A type that a function's body defines may change with the function, when no object of it can be met by the new
    // code: everything that knows the type changes too and is reached by calls only, nothing static holds or points
    // to one, and no other type has it inside. (An object that goes through void* and comes back isn't seen.)
    bool lives_in_changed_code_only(u32 unit, const TypeChange& change) const {
        const UnitPair& pair = context_.comparison.units[unit];
        const DebugInfo& before = context_.before(unit);
        if (before.type(change.before).local_to.empty()) return false;
        Reach reach(before);
        auto knows = [&](u32 type) { return reach(type, change.before, kAllPointers); };
        for (const DebugVariable& variable : before.variables())
            if (knows(variable.type)) return false;
        for (u32 type = 1; type < before.types().size(); ++type) {
            const TypeNode& node = before.type(type);
            if (node.kind == TypeKind::aggregate && node.local_to.empty() && knows(type)) return false;
        }
        for (const DebugFunction& function : before.functions()) {
            u32 item = pair.baseline.at(function.where.section, static_cast<i64>(function.where.offset));
            if (item == 0 || !std::any_of(function.uses.begin(), function.uses.end(), knows)) continue;
            if (pair.old_changes[item] == ItemChange::same) return false;
            if (std::any_of(function.signature.begin(), function.signature.end(), knows) && is_pointed_to(pair, item))
                return false;
        }
        return true;
    }

    static bool is_pointed_to(const UnitPair& pair, u32 function) {
        for (const Item& item : pair.baseline.items())
            for (const Reference& reference : item.references)
                if (reference.target == function && reference.type != R_X86_64_PLT32) return true;
        return false;
    }

    void report() {
        for (auto& [name, found] : found_) {
            const TypeChange& change = found.change;
            std::sort(found.users.begin(), found.users.end());
            std::string users = found.users.empty() ? "" : "; used by " + list_names(found.users);
            if (!change.layout) {
                context_.warn("changed-meaning", found.place,
                              fmt::format("{} '{}': {}; objects that exist keep what they hold{}", change.keyword, name,
                                          change.text(), users));
                continue;
            }
            auto outer = contained_.find(name);
            std::string inside;
            if (outer != contained_.end())
                inside = "; contained in " + list_names({outer->second.begin(), outer->second.end()});
            context_.refuse(
                "changed-layout", found.place, name,
                fmt::format("the {}'s layout changed, and objects of it may exist: {}{}{}", change.keyword,
                            change.text(), inside, users),
                "keep the type as it is and attach what is new by a shadow variable, or give the new layout "
                "to a type with a new name");
        }
    }

    JudgeContext& context_;
    std::map<std::string, Found> found_;
    std::map<std::string, std::set<std::string>> contained_;
};

}  // namespace

void judge_types(JudgeContext& context) {
    TypeJudge(context).run();
}

}  // namespace graft::differ
