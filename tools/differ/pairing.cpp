#include "tools/differ/pairing.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "tools/differ/equality.h"
#include "tools/differ/names.h"

namespace graft::differ {
namespace {

bool can_be_paired(const Item& item) {
    return item.is_function() || item.has_identity() || item.kind == ItemKind::table;
}

// Functions pair with functions, data with data: read-only or not is a change of the same thing.
char class_of(const Item& item) {
    if (item.is_function()) return 'f';
    return item.kind == ItemKind::table ? 't' : 'd';
}

using Key = std::pair<char, std::string>;
using Groups = std::map<Key, std::vector<u32>>;
using Votes = std::map<std::pair<u32, u32>, bool>;  // (baseline item, patched item) → by functions of one shape

constexpr usize kMaxComparisons = 4'000'000;  // of two functions' references, for lining them up

class Pairer {
public:
    Pairer(const UnitObject& baseline, const UnitObject& patched, const DebugInfo& old_debug,
           const DebugInfo& new_debug)
        : old_(baseline), new_(patched), old_debug_(old_debug), new_debug_(new_debug) {
        pairing_.to_patched.assign(old_.items().size(), 0);
        pairing_.to_baseline.assign(new_.items().size(), 0);
    }

    Pairing run();

private:
    using References = std::vector<Reference>;
    using Candidates = std::set<std::pair<u32, u32>>;

    void pair(u32 old_item, u32 new_item) {
        pairing_.to_patched[old_item] = new_item;
        pairing_.to_baseline[new_item] = old_item;
        ++found_;
    }
    void guess(u32 old_item, u32 new_item, std::string why) {
        pair(old_item, new_item);
        pairing_.guesses.push_back({old_item, new_item, std::move(why)});
    }
    bool old_free(u32 item) const { return pairing_.to_patched[item] == 0; }
    bool new_free(u32 item) const { return pairing_.to_baseline[item] == 0; }

    template <typename Name>
    Groups free_items(const UnitObject& unit, bool old_side, Name&& name_of) const;
    // Calls visit(old items, new items) for each name that free items of both sides have.
    template <typename Name, typename Visit>
    void for_each_group(Name&& name_of, Visit&& visit);

    void by_name();
    void by_function();
    void by_aliases();
    void by_unnumbered();
    void by_guard();
    void by_value(const std::vector<u32>& before, const std::vector<u32>& after);
    bool may_be(u32 old_item, u32 new_item, bool same_name) const;
    bool has_free_targets(const UnitObject& unit, u32 item, bool old_side) const;
    void by_use(bool same_name);
    void vote_by_shape(u32 old_user, u32 new_user, bool same_name, Votes& votes) const;
    void vote_by_order(const Equality& equality, u32 old_user, u32 new_user, bool same_name, Votes& votes) const;
    Candidates line_up(const Equality& equality, const References& before, const References& after,
                       bool same_name) const;
    void take_between(std::set<u32>& old_between, std::set<u32>& new_between, bool same_name, Candidates& found) const;
    void by_scope();
    void in_order();
    void leftovers();
    bool users_overlap(u32 old_item, u32 new_item) const;
    std::set<u32> users(const UnitObject& unit, u32 item) const;

    const UnitObject& old_;
    const UnitObject& new_;
    const DebugInfo& old_debug_;
    const DebugInfo& new_debug_;
    Pairing pairing_;
    usize found_ = 0;
};

template <typename Name>
Groups Pairer::free_items(const UnitObject& unit, bool old_side, Name&& name_of) const {
    Groups groups;
    for (u32 i = 1; i < unit.items().size(); ++i) {
        const Item& item = unit.item(i);
        if (!can_be_paired(item) || !(old_side ? old_free(i) : new_free(i))) continue;
        std::string name = name_of(item);
        if (!name.empty()) groups[{class_of(item), name}].push_back(i);
    }
    return groups;
}

template <typename Name, typename Visit>
void Pairer::for_each_group(Name&& name_of, Visit&& visit) {
    Groups old_groups = free_items(old_, true, name_of);
    Groups new_groups = free_items(new_, false, name_of);
    for (const auto& [key, before] : old_groups) {
        auto after = new_groups.find(key);
        if (after != new_groups.end()) visit(before, after->second);
    }
}

Pairing Pairer::run() {
    by_name();
    by_function();
    usize before = 0;
    // A few rounds at most in practice; each finds at least one pair.
    for (;;) {
        do {
            before = found_;
            by_unnumbered();
            by_guard();
            by_use(true);
        } while (found_ != before);
        by_scope();
        if (found_ != before) continue;
        by_use(false);
        if (found_ != before) continue;
        in_order();
        if (found_ == before) break;
    }
    leftovers();
    return std::move(pairing_);
}

// Sections without a name for their only item (tables, unnamed data) go by the section's.
void Pairer::by_name() {
    auto exact = [](const Item& item) {
        return is_numbered(item.name) || is_clone(item.name) ? std::string() : item.name;
    };
    for_each_group(exact, [&](const auto& before, const auto& after) {
        if (before.size() == 1 && after.size() == 1) pair(before[0], after[0]);
    });
    // The initialisers of a unit are named after its first public symbol.
    auto initialiser = [](const Item& item) { return initialiser_kind(item.name); };
    for_each_group(initialiser, [&](const auto& before, const auto& after) {
        if (before.size() == 1 && after.size() == 1) pair(before[0], after[0]);
    });
    by_aliases();
}

void Pairer::by_aliases() {
    for (u32 i = 1; i < old_.items().size(); ++i) {
        const Item& item = old_.item(i);
        if (!can_be_paired(item) || !old_free(i) || is_numbered(item.name)) continue;
        std::set<u32> found;
        for (const std::string& alias : item.aliases) found.insert(new_.find(alias));
        found.insert(new_.find(item.name));
        found.erase(0);
        if (found.size() != 1 || !new_free(*found.begin())) continue;
        if (class_of(new_.item(*found.begin())) == class_of(item)) pair(i, *found.begin());
    }
}

// Static locals of one name and one function.
void Pairer::by_function() {
    auto name_in = [](const DebugInfo& debug) {
        return [&debug](const Item& item) {
            if (!item.has_identity() || !is_numbered(item.name)) return std::string();
            const DebugVariable* variable = debug.variable_at({.section = item.section, .offset = item.offset});
            if (!variable || variable->local_to.empty()) return std::string();
            return fmt::format("{} of {}", unnumbered(item.name), unnumbered(variable->local_to));
        };
    };
    Groups old_groups = free_items(old_, true, name_in(old_debug_));
    Groups new_groups = free_items(new_, false, name_in(new_debug_));
    for (const auto& [key, before] : old_groups) {
        auto after = new_groups.find(key);
        if (before.size() == 1 && after != new_groups.end() && after->second.size() == 1)
            pair(before[0], after->second[0]);
    }
}

// Names that differ by numbers only.
void Pairer::by_unnumbered() {
    auto name = [](const Item& item) { return is_clone(item.name) ? std::string() : unnumbered(item.name); };
    for_each_group(name, [&](const auto& before, const auto& after) {
        if (before.size() == 1 && after.size() == 1) {
            // Were there others of this name that found their counterparts before, this one is what is left.
            auto others = [&](const UnitObject& unit, u32 item) {
                return std::ranges::count_if(unit.items(), [&](const Item& other) {
                    return class_of(other) == class_of(unit.item(item)) && can_be_paired(other) &&
                           name(other) == name(unit.item(item));
                });
            };
            if (others(old_, before[0]) == 1 && others(new_, after[0]) == 1) return pair(before[0], after[0]);
            return;
        }
        by_value(before, after);
    });
    // Clones are each other's counterpart only when they are the same: their callers know their insides.
    auto clone = [](const Item& item) { return is_clone(item.name) ? unnumbered(item.name) : std::string(); };
    for_each_group(clone, [&](const auto& before, const auto& after) { by_value(before, after); });
}

// Equal bodies and equal initial values, where only one is equal on either side. Zeros say nothing.
void Pairer::by_value(const std::vector<u32>& before, const std::vector<u32>& after) {
    Equality equality(old_, new_, pairing_.to_patched, Equality::Mode::loose);
    std::vector<std::pair<u32, u32>> equal;
    for (u32 old_item : before) {
        if (old_.item(old_item).zero) continue;
        for (u32 new_item : after) {
            if (!new_.item(new_item).zero && equality.equal(old_item, new_item)) equal.emplace_back(old_item, new_item);
        }
    }
    for (auto [old_item, new_item] : equal) {
        auto of_old = std::ranges::count_if(equal, [&](const auto& one) { return one.first == old_item; });
        auto of_new = std::ranges::count_if(equal, [&](const auto& one) { return one.second == new_item; });
        if (of_old != 1 || of_new != 1) continue;
        // Equal data may be two things that start alike; equal code is the same thing for all that calls it.
        if (old_.item(old_item).is_function() || !old_.item(old_item).writable) pair(old_item, new_item);
    }
}

void Pairer::by_guard() {
    for (u32 i = 1; i < old_.items().size(); ++i) {
        if (!old_free(i)) continue;
        std::string object = guarded(old_.item(i).name);
        if (object.empty()) continue;
        u32 old_object = old_.find(object);
        if (old_object == 0 || old_free(old_object)) continue;
        const Item& twin = new_.item(pairing_.to_patched[old_object]);
        if (!twin.name.starts_with("_Z")) continue;
        u32 guard = new_.find("_ZGV" + twin.name.substr(2));
        if (guard != 0 && new_free(guard)) pair(i, guard);
    }
}

bool Pairer::may_be(u32 old_item, u32 new_item, bool same_name) const {
    const Item& before = old_.item(old_item);
    const Item& after = new_.item(new_item);
    if (!can_be_paired(before) || !can_be_paired(after) || class_of(before) != class_of(after)) return false;
    if (!old_free(old_item) || !new_free(new_item) || is_clone(before.name) || is_clone(after.name)) return false;
    if (unnumbered(before.name) == unnumbered(after.name)) return true;
    return !same_name && class_of(before) == 'd' && before.size == after.size && before.writable == after.writable;
}

// Does the item refer to something whose counterpart isn't known?
bool Pairer::has_free_targets(const UnitObject& unit, u32 item, bool old_side) const {
    return std::ranges::any_of(unit.item(item).references, [&](const Reference& reference) {
        return can_be_paired(unit.item(reference.target)) &&
               (old_side ? old_free(reference.target) : new_free(reference.target));
    });
}

// Paired functions refer to the same things at the same places. Functions of one shape correspond place by place. In
// others, the references of both sides are lined up by those that are known to be the same; between two of these, one
// unknown thing on either side is the same one.
void Pairer::by_use(bool same_name) {
    Equality equality(old_, new_, pairing_.to_patched, Equality::Mode::strict);
    Votes votes;
    for (u32 i = 1; i < old_.items().size(); ++i) {
        u32 twin = pairing_.to_patched[i];
        if (twin == 0 || !has_free_targets(old_, i, true) || !has_free_targets(new_, twin, false)) continue;
        if (equality.same_shape(i, twin))
            vote_by_shape(i, twin, same_name, votes);
        else
            vote_by_order(equality, i, twin, same_name, votes);
    }
    for (const auto& [candidate, by_shape] : votes) {
        auto [old_item, new_item] = candidate;
        // Nobody says anything else.
        auto sayings = std::ranges::count_if(
            votes, [&](const auto& vote) { return vote.first.first == old_item || vote.first.second == new_item; });
        if (sayings != 1 || !old_free(old_item) || !new_free(new_item)) continue;
        if (unnumbered(old_.item(old_item).name) != unnumbered(new_.item(new_item).name))
            guess(old_item, new_item, "another name, used at the same places");
        else if (by_shape)
            pair(old_item, new_item);
        else
            guess(old_item, new_item, "used at the same place among things that stayed");
    }
}

void Pairer::vote_by_shape(u32 old_user, u32 new_user, bool same_name, Votes& votes) const {
    const auto& before = old_.item(old_user).references;
    const auto& after = new_.item(new_user).references;
    for (usize k = 0; k < before.size(); ++k) {
        if (may_be(before[k].target, after[k].target, same_name)) votes[{before[k].target, after[k].target}] = true;
    }
}

// There may be several ways to line up; what the earliest and the latest agree on is believed.
void Pairer::vote_by_order(const Equality& equality, u32 old_user, u32 new_user, bool same_name, Votes& votes) const {
    References before = old_.item(old_user).references;
    References after = new_.item(new_user).references;
    if (before.size() * after.size() > kMaxComparisons) return;
    Candidates early = line_up(equality, before, after, same_name);
    std::ranges::reverse(before);
    std::ranges::reverse(after);
    for (const auto& candidate : line_up(equality, before, after, same_name)) {
        if (early.contains(candidate)) votes.emplace(candidate, false);
    }
}

// Longest common subsequence: length[a][b] is that of before[a…] and after[b…].
Pairer::Candidates Pairer::line_up(const Equality& equality, const References& before, const References& after,
                                   bool same_name) const {
    usize columns = after.size() + 1;
    std::vector<u32> length((before.size() + 1) * columns, 0);
    std::vector<bool> same(length.size(), false);
    for (usize a = before.size(); a-- > 0;) {
        for (usize b = after.size(); b-- > 0;) {
            usize here = a * columns + b;
            same[here] = equality.same_target(before[a], after[b]);
            u32 skip = std::max(length[here + columns], length[here + 1]);
            length[here] = same[here] ? std::max(skip, length[here + columns + 1] + 1) : skip;
        }
    }
    Candidates found;
    std::set<u32> old_between, new_between;
    usize a = 0;
    usize b = 0;
    while (a < before.size() || b < after.size()) {
        usize here = a * columns + b;
        bool both = a < before.size() && b < after.size();
        if (both && same[here] && length[here] == length[here + columns + 1] + 1) {
            take_between(old_between, new_between, same_name, found);
            ++a;
            ++b;
        } else if (b >= after.size() || (a < before.size() && length[here + columns] >= length[here + 1])) {
            old_between.insert(before[a++].target);
        } else {
            new_between.insert(after[b++].target);
        }
    }
    take_between(old_between, new_between, same_name, found);
    return found;
}

void Pairer::take_between(std::set<u32>& old_between, std::set<u32>& new_between, bool same_name,
                          Candidates& found) const {
    Candidates possible;
    for (u32 a : old_between) {
        for (u32 b : new_between) {
            if (may_be(a, b, same_name)) possible.emplace(a, b);
        }
    }
    for (const auto& one : possible) {
        auto rivals = std::ranges::count_if(
            possible, [&](const auto& other) { return other.first == one.first || other.second == one.second; });
        if (rivals == 1) found.insert(one);
    }
    old_between.clear();
    new_between.clear();
}

void Pairer::by_scope() {
    auto name = [](const Item& item) { return is_clone(item.name) ? std::string() : unscoped(item.name); };
    for_each_group(name, [&](const auto& before, const auto& after) {
        if (before.size() != 1 || after.size() != 1) return;
        if (unnumbered(old_.item(before[0]).name) == unnumbered(new_.item(after[0]).name) &&
            old_.item(before[0]).local == new_.item(after[0]).local)
            return;  // a number's business
        guess(before[0], after[0], "the same name in another scope");
    });
}

// What is left of a name, one by one in the order of the objects.
void Pairer::in_order() {
    auto name = [](const Item& item) { return is_clone(item.name) ? std::string() : unnumbered(item.name); };
    for_each_group(name, [&](const auto& before, const auto& after) {
        if (before.size() != after.size()) return;
        for (usize i = 0; i < before.size(); ++i) {
            const Item& old_item = old_.item(before[i]);
            const Item& new_item = new_.item(after[i]);
            if (!old_item.is_function() && old_item.size != new_item.size && before.size() > 1) return;
            // Data of another function than before: nothing says that it is the same.
            if (old_item.has_identity() && !users_overlap(before[i], after[i])) return;
        }
        // Things that are all the same can't be mistaken for one another in a way that matters.
        Equality equality(old_, new_, pairing_.to_patched, Equality::Mode::loose);
        bool alike = old_.item(before[0]).is_function() && std::ranges::all_of(before, [&](u32 a) {
                         return std::ranges::all_of(after, [&](u32 b) { return equality.equal(a, b); });
                     });
        for (usize i = 0; i < before.size(); ++i) {
            if (alike)
                pair(before[i], after[i]);
            else
                guess(before[i], after[i],
                      before.size() == 1 ? std::string("the only one left of this name")
                                         : fmt::format("number {} of {} of this name", i + 1, before.size()));
        }
    });
}

std::set<u32> Pairer::users(const UnitObject& unit, u32 item) const {
    std::set<u32> result;
    for (u32 i = 1; i < unit.items().size(); ++i) {
        for (const Reference& reference : unit.item(i).references) {
            if (reference.target == item) result.insert(i);
        }
    }
    return result;
}

bool Pairer::users_overlap(u32 old_item, u32 new_item) const {
    std::set<u32> after = users(new_, new_item);
    return std::ranges::any_of(users(old_, old_item), [&](u32 user) {
        return pairing_.to_patched[user] != 0 && after.contains(pairing_.to_patched[user]);
    });
}

// A new writable object that may be an old one under another name or number.
void Pairer::leftovers() {
    for (u32 i = 1; i < new_.items().size(); ++i) {
        const Item& item = new_.item(i);
        if (item.kind != ItemKind::data || !new_free(i)) continue;
        Unpairable unpairable{.new_item = i, .candidates = {}};
        for (u32 other = 1; other < old_.items().size(); ++other) {
            const Item& before = old_.item(other);
            if (before.kind != ItemKind::data || !old_free(other)) continue;
            bool same_name = unscoped(before.name) == unscoped(item.name);
            if (same_name || (before.size == item.size && users_overlap(other, i)))
                unpairable.candidates.push_back(other);
        }
        if (!unpairable.candidates.empty()) pairing_.unpairable.push_back(std::move(unpairable));
    }
}

}  // namespace

Pairing pair_items(const UnitObject& baseline, const UnitObject& patched, const DebugInfo& baseline_debug,
                   const DebugInfo& patched_debug) {
    return Pairer(baseline, patched, baseline_debug, patched_debug).run();
}

}  // namespace graft::differ
