#include "tools/differ/plan.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "tools/differ/names.h"

namespace graft::differ {
namespace {

bool is_loaders_own(std::string_view name) {
    return name == "__dso_handle" || name == "__cxa_atexit";
}

constexpr u64 kArgumentBytes = 24;  // of the instructions that set the three arguments of a call
constexpr i64 kBehindSite = 5;      // from a function's entry [patch/author.h original()]

bool is_carriable(const Item& item) {
    return item.is_function() || item.has_identity() || item.kind == ItemKind::content;
}

}  // namespace

std::optional<u32> owning_unit(const Comparison& comparison, const std::string& name) {
    for (u32 unit = 0; unit < comparison.units.size(); ++unit) {
        const UnitPair& pair = comparison.units[unit];
        u32 item = pair.baseline.find(name);
        if (item != 0 && pair.placed[item].address != 0 && !pair.placed[item].elsewhere) return unit;
    }
    return std::nullopt;
}

class Planner {
public:
    Planner(Comparison& comparison, Result& result, Plan& plan)
        : comparison_(comparison), result_(result), plan_(plan) {}

    void make() {
        find_definitions();
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) add_changed(unit);
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) add_initialisers(unit);
        for (const DeclaredState& state : comparison_.states) add_callbacks(state);
        while (!pending_.empty()) {
            ItemPlace place = pending_.back();
            pending_.pop_back();
            follow(place);
        }
        sort();
    }

private:
    const UnitPair& unit(ItemPlace place) const { return comparison_.units[place.unit]; }
    void refuse(ItemPlace place, std::string code, std::string subject, std::string reason, std::string advice) {
        if (!refused_.insert({code, subject}).second) return;
        result_.refusals.push_back({.code = std::move(code),
                                    .place = comparison_.new_place(place),
                                    .subject = std::move(subject),
                                    .reason = std::move(reason),
                                    .advice = std::move(advice)});
    }
    void find_definitions();
    void check_name(ItemPlace place);
    void add_changed(u32 unit);
    void add_initialisers(u32 unit);
    void add_changed_initialiser(ItemPlace place);
    void note_mixed(ItemPlace object);
    void add_callbacks(const DeclaredState& state);
    void carry(ItemPlace place, u64 replaces, bool initialiser);
    void follow(ItemPlace place);
    void sort();

    Comparison& comparison_;
    Result& result_;
    Plan& plan_;
    std::vector<ItemPlace> pending_;
    std::set<std::pair<std::string, std::string>> refused_;
};

// The image's other users of the name would keep the old one; and no linker would take both.
void Planner::check_name(ItemPlace place) {
    const Item& item = comparison_.new_item(place);
    if (item.weak || unit(place).new_changes[place.item] != ItemChange::added) return;
    if (!comparison_.image->defines_global(item.name)) return;
    refuse(place, "name-taken", demangled(item.name), "is new here, but the image has another one of this name",
           "give it another name, or make it static");
}

// The linker would take the first weak definition, or the only strong one.
void Planner::find_definitions() {
    for (bool weak : {false, true}) {
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) {
            const UnitObject& patched = comparison_.units[unit].patched;
            for (u32 i = 1; i < patched.items().size(); ++i) {
                const Item& item = patched.item(i);
                if (item.local || item.weak != weak || item.kind == ItemKind::undefined || !is_carriable(item))
                    continue;
                check_name({unit, i});
                auto [other, fresh] = plan_.definitions_.emplace(item.name, ItemPlace{unit, i});
                for (const std::string& alias : item.aliases) plan_.definitions_.emplace(alias, ItemPlace{unit, i});
                if (fresh || weak) continue;
                refuse({unit, i}, "defined-twice", demangled(item.name),
                       fmt::format("also defined in {}", comparison_.units[other->second.unit].unit->source),
                       "a program has one definition of it");
            }
        }
    }
}

void Planner::add_changed(u32 unit) {
    const UnitPair& pair = comparison_.units[unit];
    for (u32 i = 1; i < pair.patched.items().size(); ++i) {
        const Item& item = pair.patched.item(i);
        if (!item.is_function() || pair.new_changes[i] != ItemChange::changed || is_initialiser(item.name)) continue;
        u64 entry = comparison_.image_address({unit, i});
        if (entry == 0) continue;  // not in the image: carried if something needs it
        if (is_never_replaced(item.name) || comparison_.image->is_init_text(VirtAddr(entry))) continue;
        if (item.weak) {
            // Where the image's copy comes from decides what becomes of it.
            auto owner = owning_unit(comparison_, item.name);
            bool owner_has_it = owner && comparison_.units[*owner].patched.find(item.name) != 0;
            if (!owner || (owner_has_it && *owner != unit)) continue;
            if (!owner_has_it && plan_.definitions_.at(item.name) != ItemPlace{unit, i}) continue;
        }
        carry({unit, i}, entry, false);
    }
}

// Entries of the array that the start walks: what the baseline's had ran at boot and must not run again.
void Planner::add_initialisers(u32 unit) {
    const UnitPair& pair = comparison_.units[unit];
    for (u32 i = 1; i < pair.patched.items().size(); ++i) {
        const Item& item = pair.patched.item(i);
        if (item.kind != ItemKind::table) continue;
        for (const Reference& reference : item.references) {
            ItemPlace place{unit, reference.target};
            const Item& function = pair.patched.item(reference.target);
            if (function.kind == ItemKind::undefined || !function.is_function()) continue;
            ItemChange change = pair.new_changes[reference.target];
            if (change == ItemChange::added)
                carry(place, 0, true);
            else if (change == ItemChange::changed)
                add_changed_initialiser(place);
        }
    }
}

// The compiler puts all of a unit's initialisers into one function.
void Planner::add_changed_initialiser(ItemPlace place) {
    const UnitPair& pair = unit(place);
    for (const Reference& reference : pair.patched.item(place.item).references) {
        const Item& target = pair.patched.item(reference.target);
        bool fresh = target.kind == ItemKind::data && pair.new_changes[reference.target] == ItemChange::added &&
                     comparison_.image_address({place.unit, reference.target}) == 0;
        if (!fresh) continue;
        note_mixed({place.unit, reference.target});
        refuse({place.unit, reference.target}, "initialisers-again", demangled(target.name),
               "is constructed at start together with objects that the running image has, which would be constructed "
               "again",
               "make it constinit, a static of the function that uses it, or define it in a new file");
    }
}

void Planner::note_mixed(ItemPlace object) {
    const UnitPair& pair = unit(object);
    const Item& item = pair.patched.item(object.item);
    const DebugInfo& debug = *pair.patched_debug;
    const DebugVariable* variable = debug.variable_at({.section = item.section, .offset = item.offset});
    if (!variable || !variable->local_to.empty()) return;
    u32 type = variable->type;
    if (debug.type(type).kind == TypeKind::array) type = debug.type(type).target;
    usize scope = variable->name.rfind("::");
    MixedInitialiser mixed{.unit = pair.unit->source,
                           .place = variable->place,
                           .column = variable->column,
                           .name = scope == std::string::npos ? variable->name : variable->name.substr(scope + 2),
                           .of_class = debug.type(type).kind == TypeKind::aggregate};
    if (std::ranges::find(result_.mixed, mixed) == result_.mixed.end()) result_.mixed.push_back(std::move(mixed));
}

void Planner::add_callbacks(const DeclaredState& state) {
    for (u32 item : state.callbacks) {
        if (item == 0) continue;
        ItemPlace place{state.unit, item};
        if (comparison_.image_address(place) == 0)
            carry(place, 0, false);
        else
            refuse(place, "bad-callback", demangled(comparison_.new_item(place).name),
                   fmt::format("is a callback of state '{}', but a function of the image", state.state.name),
                   "a callback is a function that the diff adds");
    }
}

void Planner::carry(ItemPlace place, u64 replaces, bool initialiser) {
    auto [known, fresh] = plan_.carried_.emplace(place, static_cast<u32>(comparison_.carried.size()));
    if (!fresh) {
        Carried& carried = comparison_.carried[known->second];
        if (initialiser) carried.initialiser = true;
        return;
    }
    if (replaces != 0) plan_.replaced_.emplace(replaces, place);
    comparison_.carried.push_back({.place = place, .replaces = replaces, .initialiser = initialiser});
    pending_.push_back(place);
}

void Planner::follow(ItemPlace place) {
    const UnitPair& pair = unit(place);
    const Item& item = pair.patched.item(place.item);
    for (const Reference& reference : item.references) {
        const Item& target = pair.patched.item(reference.target);
        auto meaning = plan_.meaning(comparison_.carried[plan_.carried_.at(place)], reference);
        if (!meaning) {
            if (target.kind == ItemKind::undefined)
                refuse(place, "undefined", demangled(target.name),
                       fmt::format("used by '{}', and neither the image nor the patched files define it",
                                   demangled(item.name)),
                       "the linker dropped it from the image if nothing used it: define it in a file of the patch");
            else
                refuse(place, "not-in-the-image", demangled(target.name),
                       fmt::format("used by '{}', and can't be carried by a patch", demangled(item.name)), "");
            continue;
        }
        if (meaning->kind == Meaning::Kind::carried) carry(meaning->place, 0, false);
        if (meaning->kind == Meaning::Kind::image && comparison_.image->is_init_text(VirtAddr(meaning->address)))
            refuse(place, "gone-after-boot", demangled(target.name),
                   fmt::format("used by '{}', but only runs while the image boots: its code is gone then",
                               demangled(item.name)),
                   "let the patch have a function of its own that does the same");
    }
    // A new guard says "not yet" about an object that the image has had all along.
    std::string guards = guarded(item.name);
    u32 object = guards.empty() ? 0 : pair.patched.find(guards);
    if (object != 0 && comparison_.image_address({place.unit, object}) != 0)
        refuse({place.unit, object}, "initialisers-again", demangled(guards),
               "is initialised at its first use from now on, but the image has it and uses it already",
               "keep its constant initial value, or give the new one another name");
    if (item.undecoded) refuse(place, "undecodable", demangled(item.name), "its code can't be decoded", "");
}

// The same patch whatever the order in which things were found.
void Planner::sort() {
    std::ranges::sort(comparison_.carried, {}, &Carried::place);
    for (u32 i = 0; i < comparison_.carried.size(); ++i) plan_.carried_[comparison_.carried[i].place] = i;
}

Plan Plan::make(Comparison& comparison, Result& result) {
    Plan plan;
    plan.comparison_ = &comparison;
    Planner(comparison, result, plan).make();
    return plan;
}

bool Plan::replaces(ItemPlace patched) const {
    auto found = carried_.find(patched);
    return found != carried_.end() && comparison_->carried[found->second].replaces != 0;
}

std::optional<Meaning> Plan::meaning(ItemPlace patched, i64 offset) const {
    const UnitPair& pair = comparison_->units[patched.unit];
    const Item& item = pair.patched.item(patched.item);
    if (is_loaders_own(item.name)) return Meaning{Meaning::Kind::loader, item.name, 0, {}};
    if (item.kind == ItemKind::undefined) {
        // Another unit may bring it; the image may have it under an older name.
        auto defined = definitions_.find(item.name);
        if (defined != definitions_.end()) return meaning(defined->second, offset);
        auto address = comparison_->image->visible(item.name);
        if (!address) return std::nullopt;
        return in_image(address->value, offset, {item.name});
    }
    if (!is_carriable(item)) return std::nullopt;
    if (item.kind == ItemKind::content) return Meaning{Meaning::Kind::carried, {}, 0, patched};
    bool is_beside_old = is_never_replaced(item.name) && pair.new_changes[patched.item] == ItemChange::changed;
    u64 address = is_beside_old ? 0 : comparison_->image_address(patched);
    if (address == 0) {
        auto defined = item.local ? definitions_.end() : definitions_.find(item.name);
        ItemPlace place = defined == definitions_.end() ? patched : defined->second;
        return Meaning{Meaning::Kind::carried, {}, 0, place};
    }
    // The image may know it by a name that it had in the baseline.
    std::vector<std::string> names{item.name};
    auto add = [&](const Item& other) {
        names.push_back(other.name);
        names.insert(names.end(), other.aliases.begin(), other.aliases.end());
    };
    add(item);
    if (u32 twin = pair.to_baseline[patched.item]; twin != 0) add(pair.baseline.item(twin));
    if (ItemPlace from = pair.moved_from[patched.item]; from.item != 0) add(comparison_->old_item(from));
    return in_image(address, offset, names);
}

std::optional<Meaning> Plan::in_image(u64 address, i64 offset, const std::vector<std::string>& names) const {
    auto replaced = replaced_.find(address);
    if (replaced != replaced_.end() && offset != kBehindSite)
        return Meaning{Meaning::Kind::carried, {}, 0, replaced->second};
    for (const std::string& name : names) {
        if (comparison_->image->has_symbol(name, VirtAddr(address)))
            return Meaning{Meaning::Kind::image, name, address, {}};
    }
    return std::nullopt;
}

// Is it the destructor of an object that stays in the image that a call of __cxa_atexit registers? The call's arguments
// are set right before it. Such an object outlives the patch, and the image destroys nothing.
bool Plan::registers_images_object(const Carried& carried, const Reference& reference) const {
    const UnitObject& patched = comparison_->units[carried.place.unit].patched;
    const Item& item = patched.item(carried.place.item);
    if (patched.item(reference.target).name != "__cxa_atexit" || !item.is_function()) return false;
    for (const Reference& before : item.references) {
        bool argument = before.at < reference.at && reference.at - before.at <= kArgumentBytes;
        if (!argument || patched.item(before.target).kind != ItemKind::data) continue;
        auto object = meaning({carried.place.unit, before.target}, 0);
        if (object && object->kind == Meaning::Kind::image) return true;
    }
    return false;
}

std::optional<Meaning> Plan::meaning(const Carried& carried, const Reference& reference) const {
    if (registers_images_object(carried, reference)) {
        auto address = comparison_->image->visible("__cxa_atexit");
        if (address) return Meaning{Meaning::Kind::image, "__cxa_atexit", address->value, {}};
    }
    // Only code takes the address behind a call site; in a jump table it is a label.
    bool from_code = comparison_->new_item(carried.place).is_function();
    return meaning({carried.place.unit, reference.target}, from_code ? reference.target_offset : 0);
}

}  // namespace graft::differ
