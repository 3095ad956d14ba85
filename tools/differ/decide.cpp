#include "tools/differ/decide.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "tools/differ/names.h"
#include "tools/patch/pack.h"

namespace graft::differ {
namespace {

// Of several units' decisions about one function the strongest stands.
int strength(DecisionKind kind) {
    switch (kind) {
        case DecisionKind::changed:
            return 4;
        case DecisionKind::added:
            return 3;
        case DecisionKind::unchanged:
            return 2;
        case DecisionKind::removed:
            return 1;
        case DecisionKind::held:
            return 0;
    }
    return 0;
}

// Did the compiler put the function's code into one that the image has? Then its callers say what changed.
bool inlined_in_image(const UnitPair& pair, const std::string& name) {
    return std::ranges::any_of(pair.baseline_debug->functions(), [&](const DebugFunction& function) {
        bool there =
            function.where.section != 0 &&
            pair.placed[pair.baseline.at(function.where.section, static_cast<i64>(function.where.offset))].address != 0;
        return there &&
               std::ranges::any_of(function.inlined, [&](const InlinedCall& call) { return call.name == name; });
    });
}

class Decider {
public:
    Decider(const Comparison& comparison, Result& result) : comparison_(comparison), result_(result) {}

    void decide() {
        for (u32 i = 0; i < comparison_.carried.size(); ++i) carried_[comparison_.carried[i].place] = i;
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) {
            if (!comparison_.units[unit].goes_on()) decide_unit(unit);
        }
        for (auto& [key, decision] : decisions_) result_.decisions.push_back(std::move(decision));
        for (const Carried& carried : comparison_.carried) {
            const Item& item = comparison_.new_item(carried.place);
            if (item.has_identity()) result_.added.push_back(demangled(item.name));
        }
    }

private:
    void decide_unit(u32 unit);
    void decide_new(ItemPlace place);
    void take(ItemPlace place, const Item& item, Decision decision);
    void warn(ItemPlace place, std::string code, std::string text) {
        result_.warnings.push_back(
            {.code = std::move(code), .place = comparison_.new_place(place), .text = std::move(text)});
    }

    const Comparison& comparison_;
    Result& result_;
    std::map<ItemPlace, u32> carried_;
    // By unit and name; what is visible outside goes by its name alone, in the first unit that has it.
    std::map<std::pair<u32, std::string>, Decision> decisions_;
    std::map<std::string, u32> first_unit_;
};

void Decider::take(ItemPlace place, const Item& item, Decision decision) {
    u32 unit = item.local ? place.unit : first_unit_.emplace(item.name, place.unit).first->second;
    decision.name = item.name;
    decision.demangled = demangled(item.name);
    if (decision.unit.empty()) decision.unit = comparison_.units[place.unit].unit->source;
    auto [known, fresh] = decisions_.emplace(std::pair(unit, item.name), decision);
    if (!fresh && strength(decision.kind) > strength(known->second.kind)) known->second = std::move(decision);
}

void Decider::decide_unit(u32 unit) {
    const UnitPair& pair = comparison_.units[unit];
    for (u32 i = 1; i < pair.baseline.items().size(); ++i) {
        const Item& item = pair.baseline.item(i);
        if (!item.is_function() || pair.old_changes[i] != ItemChange::removed || pair.placed[i].address == 0) continue;
        bool kept_by_others = !item.local && owning_unit(comparison_, item.name) != unit;
        if (kept_by_others) continue;
        Decision decision;
        decision.kind = DecisionKind::removed;
        decision.reason = "the patched file has it no more";
        decision.place = comparison_.old_place({unit, i});
        decision.entry = pair.placed[i].address;
        decision.old_size = item.size;
        take({unit, i}, item, std::move(decision));
    }
    for (u32 i = 1; i < pair.patched.items().size(); ++i) {
        if (pair.patched.item(i).is_function()) decide_new({unit, i});
    }
}

void Decider::decide_new(ItemPlace place) {
    const UnitPair& pair = comparison_.units[place.unit];
    const Item& item = pair.patched.item(place.item);
    ItemChange change = pair.new_changes[place.item];
    Decision decision;
    decision.place = comparison_.new_place(place);
    decision.entry = comparison_.image_address(place);
    if (u32 twin = pair.to_baseline[place.item]; twin != 0) decision.old_size = pair.baseline.item(twin).size;
    auto carried = carried_.find(place);
    if (carried != carried_.end()) {
        decision.new_size = item.size;
        auto leaves = tools::can_be_left(pair.patched.object(), pair.patched.object().symbols[item.symbol]);
        decision.endless = leaves && !*leaves;
        bool replaces = comparison_.carried[carried->second].replaces != 0;
        decision.kind = replaces ? DecisionKind::changed : DecisionKind::added;
        if (replaces)
            decision.reason = pair.differences[place.item].what;
        else if (is_coroutine_body(item.name) && change == ItemChange::changed)
            decision.reason = "instances that exist go on in the old one";
        else if (change != ItemChange::added)
            decision.reason = "the image doesn't have it, and the patch needs it";
    } else if (change == ItemChange::added) {
        return;  // nothing of the patch needs it
    } else if (change == ItemChange::changed && is_initialiser(item.name)) {
        warn(place, "boot-only",
             fmt::format("the initialisers of {} changed; they ran at boot and don't run again", pair.unit->source));
    } else if (change == ItemChange::changed && comparison_.image->is_init_text(VirtAddr(decision.entry))) {
        warn(place, "boot-only",
             fmt::format("'{}' only runs while the image boots, and its code is gone then: what it has set up stays as "
                         "it is",
                         demangled(item.name)));
    } else if (change == ItemChange::changed && decision.entry == 0) {
        if (inlined_in_image(pair, item.name)) return take(place, item, std::move(decision));
        warn(place, "not-in-the-image",
             fmt::format("'{}' changed, but the image doesn't have it: nothing there calls it", demangled(item.name)));
    } else if (change == ItemChange::changed && !item.local && !owning_unit(comparison_, item.name)) {
        warn(place, "other-copy",
             fmt::format("'{}' came out differently in {}, but the image has another file's copy, which isn't reached",
                         demangled(item.name), pair.unit->source));
    }
    take(place, item, std::move(decision));
}

}  // namespace

void decide(const Comparison& comparison, Result& result) {
    Decider(comparison, result).decide();
}

}  // namespace graft::differ
