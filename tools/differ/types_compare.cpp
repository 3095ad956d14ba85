#include "tools/differ/types_compare.h"

#include <dwarf.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

namespace graft::differ {
namespace {

enum class Verdict : u8 { same, meaning, layout };

constexpr unsigned kMaxDepth = 64;
constexpr usize kShownDetails = 4;

bool is_integer(u32 encoding) {
    return encoding == DW_ATE_signed || encoding == DW_ATE_unsigned || encoding == DW_ATE_signed_char ||
           encoding == DW_ATE_unsigned_char || encoding == DW_ATE_boolean || encoding == DW_ATE_UTF;
}

std::string place_text(u64 bits) {
    return bits % 8 == 0 ? fmt::format("byte {}", bits / 8) : fmt::format("byte {} bit {}", bits / 8, bits % 8);
}

// A member as the containing object has it; members of unnamed structs and unions are members of what contains them.
struct FlatMember {
    std::string name;
    bool is_base;
    u64 bit_offset;
    u64 bit_size;
    u32 type;
};

std::string member_text(const FlatMember& member) {
    if (member.is_base) return fmt::format("base class '{}'", member.name);
    return member.name.empty() ? "an unnamed member" : fmt::format("member '{}'", member.name);
}

class Comparer {
public:
    Comparer(const DebugInfo& before, const DebugInfo& after) : before_(before), after_(after) {}

    std::vector<TypeChange> run();

private:
    using ByName = std::map<std::string, std::vector<u32>>;
    static ByName named_types(const DebugInfo& info);
    void compare_named(const std::string& name, std::vector<u32> before, std::vector<u32> after);
    void compare_one(const std::string& name, u32 before, u32 after);

    Verdict same(u32 before, u32 after, unsigned depth);
    Verdict same_base(const TypeNode& before, const TypeNode& after) const;
    Verdict same_pointer(const TypeNode& before, const TypeNode& after, unsigned depth);
    Verdict same_list(const std::vector<u32>& before, const std::vector<u32>& after, unsigned depth);
    Verdict same_aggregate(u32 before, u32 after, unsigned depth);
    Verdict same_members(u32 before, u32 after, unsigned depth, TypeChange* change);
    Verdict same_enumerators(u32 before, u32 after, TypeChange* change) const;
    void find_causes();
    bool only_moved(const TypeChange& change);
    const TypeChange* contained_change(u32 before) const;

    const DebugInfo& before_;
    const DebugInfo& after_;
    std::map<std::pair<u32, u32>, Verdict> assumed_;
    std::vector<TypeChange> changes_;
};

void flatten(const DebugInfo& info, u32 type, const std::string& prefix, u64 offset, unsigned depth,
             std::vector<FlatMember>& all) {
    for (const TypeMember& member : info.type(type).members) {
        const TypeNode& node = info.type(member.type);
        std::string name = prefix + member.name;
        u64 at = offset + member.bit_offset;
        if (node.kind == TypeKind::aggregate && node.name.empty() && !member.is_base && depth < kMaxDepth)
            flatten(info, member.type, member.name.empty() ? prefix : name + ".", at, depth + 1, all);
        else
            all.push_back({name, member.is_base, at, member.bit_size, member.type});
    }
}

std::vector<FlatMember> flat_members(const DebugInfo& info, u32 type) {
    std::vector<FlatMember> all;
    flatten(info, type, "", 0, 0, all);
    return all;
}

Comparer::ByName Comparer::named_types(const DebugInfo& info) {
    ByName all;
    for (u32 index = 1; index < info.types().size(); ++index) {
        const TypeNode& node = info.type(index);
        bool counts = node.kind == TypeKind::aggregate || node.kind == TypeKind::enumeration;
        if (counts && !node.declaration && !node.name.empty()) all[node.name].push_back(index);
    }
    return all;
}

std::vector<TypeChange> Comparer::run() {
    ByName before = named_types(before_);
    ByName after = named_types(after_);
    for (auto& [name, nodes] : before) {
        auto found = after.find(name);
        if (found != after.end()) compare_named(name, nodes, found->second);
    }
    find_causes();
    return std::move(changes_);
}

// What looks the same on both sides is taken away first: a closure added above another one renames that one only.
void Comparer::compare_named(const std::string& name, std::vector<u32> before, std::vector<u32> after) {
    if (before.size() > 1 || after.size() > 1) {
        std::erase_if(before, [&](u32 one) {
            auto twin = std::find_if(after.begin(), after.end(), [&](u32 other) {
                return before_.type(one).kind == after_.type(other).kind &&
                       (before_.type(one).kind == TypeKind::enumeration
                            ? same_enumerators(one, other, nullptr)
                            : same_members(one, other, 0, nullptr)) == Verdict::same;
            });
            if (twin == after.end()) return false;
            after.erase(twin);
            return true;
        });
    }
    for (usize i = 0; i < std::min(before.size(), after.size()); ++i) compare_one(name, before[i], after[i]);
}

void Comparer::compare_one(const std::string& name, u32 before, u32 after) {
    TypeChange change;
    change.name = name;
    change.keyword = before_.type(before).keyword;
    change.before = before;
    change.after = after;
    Verdict verdict = Verdict::layout;
    if (before_.type(before).kind != after_.type(after).kind)
        change.details.push_back(
            fmt::format("was {} and is now {}", before_.type(before).keyword, after_.type(after).keyword));
    else if (before_.type(before).kind == TypeKind::enumeration)
        verdict = same_enumerators(before, after, &change);
    else
        verdict = same_members(before, after, 0, &change);
    if (verdict == Verdict::same) return;
    change.layout = verdict == Verdict::layout;
    changes_.push_back(std::move(change));
}

// ---- one type against another ---------------------------------------------------------------------------------------

Verdict Comparer::same(u32 before, u32 after, unsigned depth) {
    const TypeNode& old_node = before_.type(before);
    const TypeNode& new_node = after_.type(after);
    if (depth > kMaxDepth) return Verdict::same;
    if (old_node.kind != new_node.kind) {
        bool numbers = old_node.size == new_node.size &&
                       ((old_node.kind == TypeKind::enumeration && is_integer(new_node.encoding)) ||
                        (new_node.kind == TypeKind::enumeration && is_integer(old_node.encoding)));
        return numbers ? Verdict::meaning : Verdict::layout;
    }
    switch (old_node.kind) {
        case TypeKind::none:
            return Verdict::same;
        case TypeKind::base:
            return same_base(old_node, new_node);
        case TypeKind::pointer:
            return same_pointer(old_node, new_node, depth);
        case TypeKind::array:
            return old_node.counts == new_node.counts ? same(old_node.target, new_node.target, depth + 1)
                                                      : Verdict::layout;
        case TypeKind::function:
            return same_list(old_node.arguments, new_node.arguments, depth);
        case TypeKind::enumeration:
            return old_node.name == new_node.name ? Verdict::same : same_enumerators(before, after, nullptr);
        case TypeKind::aggregate:
            return same_aggregate(before, after, depth);
    }
    return Verdict::layout;
}

Verdict Comparer::same_base(const TypeNode& before, const TypeNode& after) const {
    if (before.size != after.size) return Verdict::layout;
    if (before.encoding == after.encoding) return Verdict::same;
    return is_integer(before.encoding) && is_integer(after.encoding) ? Verdict::meaning : Verdict::layout;
}

Verdict Comparer::same_pointer(const TypeNode& before, const TypeNode& after, unsigned depth) {
    const TypeNode& old_target = before_.type(before.target);
    const TypeNode& new_target = after_.type(after.target);
    auto unknown = [](const TypeNode& node) { return node.kind == TypeKind::none || node.declaration; };
    if (before.size != after.size) return Verdict::layout;
    if (unknown(old_target) || unknown(new_target)) {
        bool equal = old_target.kind == new_target.kind && old_target.name == new_target.name;
        return equal ? Verdict::same : Verdict::meaning;
    }
    return same(before.target, after.target, depth + 1);
}

Verdict Comparer::same_list(const std::vector<u32>& before, const std::vector<u32>& after, unsigned depth) {
    if (before.size() != after.size()) return Verdict::layout;
    Verdict worst = Verdict::same;
    for (usize i = 0; i < before.size(); ++i) worst = std::max(worst, same(before[i], after[i], depth + 1));
    return worst;
}

// Types of one name are compared on their own, once.
Verdict Comparer::same_aggregate(u32 before, u32 after, unsigned depth) {
    const TypeNode& old_node = before_.type(before);
    const TypeNode& new_node = after_.type(after);
    if (!old_node.name.empty() && old_node.name == new_node.name) return Verdict::same;
    if (old_node.declaration || new_node.declaration) return Verdict::meaning;
    auto [assumed, first] = assumed_.emplace(std::pair(before, after), Verdict::same);
    if (!first) return assumed->second;
    Verdict verdict = same_members(before, after, depth + 1, nullptr);
    return assumed_[{before, after}] = verdict;
}

Verdict Comparer::same_members(u32 before, u32 after, unsigned depth, TypeChange* change) {
    std::vector<FlatMember> old_members = flat_members(before_, before);
    std::vector<FlatMember> new_members = flat_members(after_, after);
    std::vector<bool> taken(new_members.size(), false);
    Verdict worst = Verdict::same;
    auto tell = [&](Verdict verdict, std::string text) {
        worst = std::max(worst, verdict);
        if (change) change->details.push_back(std::move(text));
    };
    auto find = [&](auto matches) {
        for (usize i = 0; i < new_members.size(); ++i)
            if (!taken[i] && matches(new_members[i])) return i;
        return new_members.size();
    };
    std::set<std::string> old_names;
    for (const FlatMember& member : old_members) old_names.insert(member.name);
    for (const FlatMember& old_member : old_members) {
        bool unnamed = old_member.name.empty();
        usize at = find([&](const FlatMember& one) {
            return one.name == old_member.name && one.is_base == old_member.is_base &&
                   (!unnamed || one.bit_offset == old_member.bit_offset);
        });
        if (at == new_members.size()) {
            at = find([&](const FlatMember& one) {
                return one.bit_offset == old_member.bit_offset && one.bit_size == old_member.bit_size &&
                       one.is_base == old_member.is_base && !old_names.contains(one.name) &&
                       same(old_member.type, one.type, depth + 1) == Verdict::same;
            });
            if (at == new_members.size()) {
                tell(Verdict::layout,
                     fmt::format("{} was removed ({}, {})", member_text(old_member), before_.type_text(old_member.type),
                                 place_text(old_member.bit_offset)));
                continue;
            }
            tell(Verdict::meaning, fmt::format("{} is now called '{}'", member_text(old_member), new_members[at].name));
        }
        taken[at] = true;
        const FlatMember& new_member = new_members[at];
        if (old_member.bit_offset != new_member.bit_offset)
            tell(Verdict::layout, fmt::format("{} moved from {} to {}", member_text(old_member),
                                              place_text(old_member.bit_offset), place_text(new_member.bit_offset)));
        if (old_member.bit_size != new_member.bit_size)
            tell(Verdict::layout, fmt::format("{} had {} bits and has {}", member_text(old_member),
                                              old_member.bit_size ? fmt::to_string(old_member.bit_size) : "all its",
                                              new_member.bit_size ? fmt::to_string(new_member.bit_size) : "all its"));
        Verdict type = same(old_member.type, new_member.type, depth + 1);
        if (type != Verdict::same)
            tell(type, fmt::format("{} was {} and is {}", member_text(old_member), before_.type_text(old_member.type),
                                   after_.type_text(new_member.type)));
    }
    for (usize i = 0; i < new_members.size(); ++i) {
        if (!taken[i])
            tell(Verdict::layout,
                 fmt::format("{} was added at {} ({})", member_text(new_members[i]),
                             place_text(new_members[i].bit_offset), after_.type_text(new_members[i].type)));
    }
    u64 old_size = before_.type(before).size;
    u64 new_size = after_.type(after).size;
    if (old_size != new_size) tell(Verdict::layout, fmt::format("its size was {} and is {}", old_size, new_size));
    return worst;
}

Verdict Comparer::same_enumerators(u32 before, u32 after, TypeChange* change) const {
    const TypeNode& old_node = before_.type(before);
    const TypeNode& new_node = after_.type(after);
    Verdict worst = Verdict::same;
    auto tell = [&](Verdict verdict, std::string text) {
        worst = std::max(worst, verdict);
        if (change) change->details.push_back(std::move(text));
    };
    if (old_node.size != new_node.size)
        tell(Verdict::layout, fmt::format("its size was {} and is {}", old_node.size, new_node.size));
    for (const Enumerator& one : old_node.enumerators) {
        auto found = std::find_if(new_node.enumerators.begin(), new_node.enumerators.end(),
                                  [&](const Enumerator& other) { return other.name == one.name; });
        if (found == new_node.enumerators.end())
            tell(Verdict::meaning, fmt::format("'{}' ({}) was removed", one.name, one.value));
        else if (found->value != one.value)
            tell(Verdict::meaning, fmt::format("'{}' was {} and is {}", one.name, one.value, found->value));
    }
    return worst;
}

// ---- where it began -------------------------------------------------------------------------------------------------

// Are its members the same ones, of the same types, only at other places?
bool Comparer::only_moved(const TypeChange& change) {
    if (before_.type(change.before).kind != TypeKind::aggregate) return false;
    std::vector<FlatMember> old_members = flat_members(before_, change.before);
    std::vector<FlatMember> new_members = flat_members(after_, change.after);
    if (old_members.size() != new_members.size()) return false;
    for (usize i = 0; i < old_members.size(); ++i) {
        if (old_members[i].name != new_members[i].name || old_members[i].bit_size != new_members[i].bit_size ||
            same(old_members[i].type, new_members[i].type, 0) != Verdict::same)
            return false;
    }
    return true;
}

const TypeChange* Comparer::contained_change(u32 before) const {
    for (const FlatMember& member : flat_members(before_, before)) {
        u32 type = member.type;
        while (before_.type(type).kind == TypeKind::array) type = before_.type(type).target;
        auto found = std::find_if(changes_.begin(), changes_.end(), [&](const TypeChange& change) {
            return change.layout && change.name == before_.type(type).name;
        });
        if (found != changes_.end()) return &*found;
    }
    return nullptr;
}

void Comparer::find_causes() {
    for (TypeChange& change : changes_) {
        if (!change.layout || !only_moved(change)) continue;
        if (const TypeChange* inner = contained_change(change.before); inner && inner->name != change.name)
            change.because = inner->name;
    }
}

}  // namespace

// What came and went tells more than what moved because of it.
std::string TypeChange::text() const {
    std::vector<std::string> ordered = details;
    std::ranges::stable_partition(ordered, [](const std::string& detail) {
        return detail.find(" was added at ") != std::string::npos || detail.find(" was removed (") != std::string::npos;
    });
    usize hidden = ordered.size() - std::min(ordered.size(), kShownDetails);
    ordered.resize(ordered.size() - hidden);
    std::string text = fmt::format("{}", fmt::join(ordered, "; "));
    return hidden == 0 ? text : text + fmt::format("; and {} more", hidden);
}

std::vector<TypeChange> compare_types(const DebugInfo& before, const DebugInfo& after) {
    return Comparer(before, after).run();
}

}  // namespace graft::differ
