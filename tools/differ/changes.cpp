#include "tools/differ/changes.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "formats/klp_declare.h"
#include "tools/differ/equality.h"
#include "tools/differ/names.h"
#include "tools/differ/pairing.h"
#include "tools/differ/placing.h"
#include "tools/patch/declarations.h"

namespace graft::differ {
namespace {

PackResult<UnitObject> read_unit(const std::string& path) {
    if (path.empty()) return UnitObject::none(path);
    return UnitObject::read(GRAFT_TRY(tools::read_file(path)), path);
}

PackResult<std::shared_ptr<const DebugInfo>> read_debug_info(const UnitObject& unit) {
    return std::make_shared<const DebugInfo>(GRAFT_TRY(DebugInfo::read(unit.object())));
}

bool is_compared(const Item& item) {
    return item.is_function() || item.has_identity() || item.kind == ItemKind::table;
}

std::string quoted(const Item& item) {
    return fmt::format("'{}'", demangled(item.name));
}

void report_guesses(const UnitPair& pair, const Pairing& pairing, Result& result) {
    for (const Guess& guess : pairing.guesses) {
        const Item& before = pair.baseline.item(guess.old_item);
        const Item& after = pair.patched.item(guess.new_item);
        std::string numbers = demangled(before.name) == demangled(after.name) && before.name != after.name
                                  ? fmt::format(" ({} for {})", after.name, before.name)
                                  : "";
        result.guesses.push_back(
            {.code = "paired",
             .place = {.file = pair.unit->source, .line = 0},
             .text = fmt::format("{} taken for {}{}: {}", quoted(after), quoted(before), numbers, guess.why)});
    }
}

void refuse_unpairable(const UnitPair& pair, const Pairing& pairing, Result& result) {
    for (const Unpairable& one : pairing.unpairable) {
        std::string candidates;
        for (u32 candidate : one.candidates) {
            if (!candidates.empty()) candidates += ", ";
            candidates += quoted(pair.baseline.item(candidate));
        }
        result.refusals.push_back(
            {.code = "unpairable-data",
             .place = {.file = pair.unit->source, .line = 0},
             .subject = demangled(pair.patched.item(one.new_item).name),
             .reason =
                 fmt::format("may be the running image's {} or something new, which would start afresh", candidates),
             .advice = "keep the old one's name and place, or give the new one a name and size of its own"});
    }
}

// Whatever refers to a changed function that is never replaced changes with it.
void change_users(UnitPair& pair) {
    for (bool again = true; again;) {
        again = false;
        for (u32 i = 1; i < pair.patched.items().size(); ++i) {
            u32 twin = pair.to_baseline[i];
            if (twin == 0 || !pair.patched.item(i).is_function() || pair.new_changes[i] != ItemChange::same) continue;
            for (const Reference& reference : pair.patched.item(i).references) {
                const Item& target = pair.patched.item(reference.target);
                if (pair.new_changes[reference.target] != ItemChange::changed || !is_never_replaced(target.name))
                    continue;
                pair.old_changes[twin] = pair.new_changes[i] = ItemChange::changed;
                pair.differences[i] = {reference.at, reference.at, fmt::format("{} changed", quoted(target))};
                again = true;
                break;
            }
        }
    }
}

void compare_items(UnitPair& pair) {
    pair.old_changes.assign(pair.baseline.items().size(), ItemChange::same);
    pair.new_changes.assign(pair.patched.items().size(), ItemChange::same);
    pair.moved_from.assign(pair.patched.items().size(), {});
    pair.differences.assign(pair.patched.items().size(), {});
    if (pair.goes_on()) return;
    Equality equality(pair.baseline, pair.patched, pair.to_patched, Equality::Mode::strict);
    for (u32 i = 1; i < pair.baseline.items().size(); ++i) {
        if (!is_compared(pair.baseline.item(i))) continue;
        u32 twin = pair.to_patched[i];
        if (twin == 0) {
            pair.old_changes[i] = ItemChange::removed;
        } else if (auto difference = equality.difference(i, twin)) {
            pair.old_changes[i] = pair.new_changes[twin] = ItemChange::changed;
            pair.differences[twin] = *difference;
        }
    }
    for (u32 i = 1; i < pair.patched.items().size(); ++i) {
        if (is_compared(pair.patched.item(i)) && pair.to_baseline[i] == 0) pair.new_changes[i] = ItemChange::added;
    }
    change_users(pair);
}

// What one unit lost and another got under the same name is the same thing: always when it is visible outside, and
// data also when it was static.
class Moves {
public:
    Moves(Comparison& comparison, Result& result) : comparison_(comparison), result_(result) {}

    void find() {
        std::map<std::string, std::vector<ItemPlace>> lost;
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) {
            const UnitPair& pair = comparison_.units[unit];
            for (u32 i = 1; i < pair.old_changes.size(); ++i) {
                if (pair.old_changes[i] == ItemChange::removed) lost[key(pair.baseline.item(i))].push_back({unit, i});
            }
        }
        std::map<std::string, std::vector<ItemPlace>> got;
        for (u32 unit = 0; unit < comparison_.units.size(); ++unit) {
            const UnitPair& pair = comparison_.units[unit];
            for (u32 i = 1; i < pair.new_changes.size(); ++i) {
                const Item& item = pair.patched.item(i);
                if (pair.new_changes[i] == ItemChange::added && !item.weak) got[key(item)].push_back({unit, i});
            }
        }
        for (const auto& [name, to] : got) {
            auto from = lost.find(name);
            if (name.empty() || to.size() != 1 || from == lost.end() || from->second.size() != 1) continue;
            move(from->second[0], to[0]);
        }
    }

private:
    static std::string key(const Item& item) {
        if (item.has_identity()) return "d " + unscoped(item.name);
        if (item.is_function() && !item.local && !item.weak) return "f " + item.name;
        return {};
    }

    void move(ItemPlace from, ItemPlace to) {
        UnitPair& source = comparison_.units[from.unit];
        UnitPair& target = comparison_.units[to.unit];
        const Item& before = source.baseline.item(from.item);
        const Item& after = target.patched.item(to.item);
        static const std::vector<u32> nothing_paired;
        Equality equality(source.baseline, target.patched, nothing_paired, Equality::Mode::loose);
        auto difference = equality.difference(from.item, to.item);
        // A function is replaced in any case: what it refers to may be static in either unit.
        bool changed = before.is_function() || difference;
        target.moved_from[to.item] = from;
        target.new_changes[to.item] = changed ? ItemChange::changed : ItemChange::same;
        source.old_changes[from.item] = changed ? ItemChange::changed : ItemChange::same;
        if (changed) target.differences[to.item] = difference.value_or(Difference{0, 0, "moved here"});
        if (before.local || after.local)
            result_.guesses.push_back({.code = "paired",
                                       .place = {.file = target.unit->source, .line = 0},
                                       .text = fmt::format("{} taken for {} of {}: the same name in another file",
                                                           quoted(after), quoted(before), source.unit->source)});
    }

    Comparison& comparison_;
    Result& result_;
};

}  // namespace

namespace {

SourcePlace place_of(const DebugInfo& debug, const Item& item, const std::string& source) {
    CodePlace where{.section = item.section, .offset = item.offset};
    if (item.is_function()) {
        if (const DebugFunction* function = debug.function_at(where); function && function->place.known())
            return function->place;
    } else if (const DebugVariable* variable = debug.variable_at(where); variable && variable->place.known()) {
        return variable->place;
    }
    return {.file = source, .line = 0};
}

}  // namespace

SourcePlace Comparison::old_place(ItemPlace place) const {
    const UnitPair& pair = units[place.unit];
    return place_of(*pair.baseline_debug, pair.baseline.item(place.item), pair.unit->source);
}

SourcePlace Comparison::new_place(ItemPlace place) const {
    const UnitPair& pair = units[place.unit];
    return place_of(*pair.patched_debug, pair.patched.item(place.item), pair.unit->source);
}

u64 Comparison::image_address(ItemPlace place) const {
    const UnitPair& pair = units[place.unit];
    if (u32 twin = pair.to_baseline[place.item]; twin != 0) return pair.placed[twin].address;
    if (ItemPlace from = pair.moved_from[place.item]; from.item != 0) return units[from.unit].placed[from.item].address;
    const Item& item = pair.patched.item(place.item);
    if (!item.weak) return 0;
    auto address = image->visible(item.name);
    return address ? address->value : 0;
}

namespace {

// States that the unit declares. Other declarations belong into hand-written patches.
PackResult<void> read_states(Comparison& comparison, u32 unit, Result& result) {
    const UnitPair& pair = comparison.units[unit];
    const Object& object = pair.patched.object();
    if (!object.section(formats::kDeclarationSection)) return {};
    for (const tools::Declared& declared : GRAFT_TRY(tools::read_declarations(object))) {
        if (declared.kind != formats::DeclarationKind::state) {
            result.refusals.push_back({.code = "declaration",
                                       .place = {.file = pair.unit->source, .line = 0},
                                       .subject = tools::kind_name(declared.kind),
                                       .reason = "is declared in the source, as in a hand-written patch",
                                       .advice =
                                           "a diff says by its changes what it replaces, and the rest by options; "
                                           "only states (GRAFT_STATE) are declared"});
            continue;
        }
        std::vector<tools::KlpContents::State> others;
        for (const DeclaredState& other : comparison.states) others.push_back(other.state);
        DeclaredState state{.unit = unit, .state = {}, .callbacks = {}};
        state.state = GRAFT_TRY(tools::make_state(pair.unit->source, declared, others));
        for (usize i = 0; i < state.callbacks.size(); ++i) {
            if (u32 symbol = state.state.record.callback[i]; symbol != 0)
                state.callbacks[i] =
                    pair.patched.at(object.symbols[symbol].section, static_cast<i64>(object.symbols[symbol].value));
        }
        comparison.states.push_back(std::move(state));
    }
    return {};
}

}  // namespace

PackResult<void> find_changes(Comparison& comparison, Result& result) {
    for (const Unit& unit : comparison.request->units) {
        UnitPair pair;
        pair.unit = &unit;
        pair.baseline = GRAFT_TRY(read_unit(unit.baseline));
        pair.patched = GRAFT_TRY(read_unit(unit.patched));
        pair.baseline_debug = GRAFT_TRY(read_debug_info(pair.baseline));
        pair.patched_debug = GRAFT_TRY(read_debug_info(pair.patched));
        GRAFT_CHECK(place_baseline(pair, *comparison.map, *comparison.image));
        Pairing pairing = pair_items(pair.baseline, pair.patched, *pair.baseline_debug, *pair.patched_debug);
        pair.to_patched = std::move(pairing.to_patched);
        pair.to_baseline = std::move(pairing.to_baseline);
        report_guesses(pair, pairing, result);
        refuse_unpairable(pair, pairing, result);
        compare_items(pair);
        comparison.units.push_back(std::move(pair));
        GRAFT_CHECK(read_states(comparison, static_cast<u32>(comparison.units.size() - 1), result));
    }
    Moves(comparison, result).find();
    return {};
}

}  // namespace graft::differ
