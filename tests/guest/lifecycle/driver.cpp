#include "tests/guest/lifecycle/driver.h"

#include "base/text.h"
#include "kernel/console.h"

namespace graft::lifecycle {

namespace {

constexpr u64 kToldAtMost = 30;

File any_file(Lifecycle& life, Set set, File top) {
    switch (set) {
        case Set::pair: {
            constexpr File kFiles[] = {File::pair_1, File::pair_2, File::pair_3, File::pair_4};
            File file = kFiles[draw(life, std::size(kFiles))];
            // Of the later ledger the earlier one can't be made: refused.
            bool is_older = file == File::pair_1 && (top == File::pair_2 || top == File::pair_4);
            return is_older ? File::pair_2 : file;
        }
        case Set::solo:
            if (one_in(life, 4)) return top == File::none ? File::solo_2 : top;
            return top == File::solo_1 ? File::solo_2 : File::solo_1;
        case Set::tally:
            return File::tally;
    }
    return File::none;
}

void note_situations(Lifecycle& life, const Change& change) {
    File from = life.model[change.set].top.file;
    File to = life.model.target(change).file;
    if (from == File::none || to == File::none) return;
    auto note = [&](Situation situation, bool is_so) {
        life.situations[static_cast<usize>(situation)] += is_so ? 1 : 0;
    };
    bool is_rollback = change.kind == ChangeKind::rollback;
    note(Situation::taken_over, state_of(from) != 0 && state_of(from) == state_of(to));
    note(Situation::kept_dormant, from == File::solo_1 && to == File::solo_2 && change.probation_ns != 0);
    note(Situation::found_again, from == File::solo_2 && to == File::solo_1 && is_rollback);
    note(Situation::back_to_original,
         (from == File::pair_1 || from == File::pair_2) && (to == File::pair_3 || to == File::pair_4));
}

}  // namespace

void say(std::string_view text) {
    kernel::console_write(text);
}

u64 draw(Lifecycle& life, u64 bound) {
    return (next_random(life.random) >> 8) % bound;
}

bool one_in(Lifecycle& life, u64 n) {
    return draw(life, n) == 0;
}

void sleep_randomly(Lifecycle& life, u64 bound_ns) {
    if (!one_in(life, 3)) kernel::sleep_ns(draw(life, bound_ns));
}

void complain(Lifecycle& life, std::string_view what, std::string_view about) {
    if (++life.wrong > kToldAtMost) return;
    Text<400> line;
    line.append("# wrong: ", what, about.empty() ? "" : ": ", about, "\n");
    say(line.view());
}

void complain(Lifecycle& life, std::string_view what, const patch::Refusal& refusal) {
    Text<320> text;
    patch::render(refusal, text);
    complain(life, what, text.view());
}

void require(Lifecycle& life, bool condition, std::string_view what, std::string_view about) {
    if (!condition) complain(life, what, about);
}

void hang(Lifecycle& life, std::string_view what) {
    if (!life.hung) complain(life, "never happens", what);
    life.hung = true;
}

patch::Label<32> new_name(Lifecycle& life) {
    Text<32> name;
    name.append("life-", ++life.requests);
    return name.view();
}

bool has_functions(File file) {
    return file >= File::pair_1 && file <= File::solo_2 && file != File::pair_4;
}

Change load_of(Lifecycle& life, Set set, File file, u64 probation_ns) {
    patch::Label<32> name = new_name(life);
    return {.set = set,
            .kind = ChangeKind::load,
            .incoming = {file, name},
            .probation_ns = probation_ns,
            .next_note = life.requests,
            .name = name};
}

Change unload_of(Lifecycle& life, Set set) {
    return {.set = set, .kind = ChangeKind::unload, .next_note = ++life.requests, .name = life.model[set].top.name};
}

Change rollback_of(Lifecycle& life, Set set) {
    return {.set = set, .kind = ChangeKind::rollback, .next_note = ++life.requests, .name = life.model[set].top.name};
}

Change pick_load(Lifecycle& life, Set set) {
    return load_of(life, set, any_file(life, set, life.model[set].top.file), one_in(life, 2) ? kLongNs : 0);
}

Change pick_change(Lifecycle& life) {
    // The set that is nothing but a state has less to show.
    constexpr Set kSets[] = {Set::pair, Set::pair, Set::solo, Set::solo, Set::tally};
    Set set = kSets[draw(life, std::size(kSets))];
    const SetState& now = life.model[set];
    if (now.on_probation) return one_in(life, 2) ? unload_of(life, set) : rollback_of(life, set);
    if (now.top.is_there() && one_in(life, 3)) return unload_of(life, set);
    return pick_load(life, set);
}

std::optional<Place> place_of(Set set) {
    if (set == Set::pair) return Place::pair;
    if (set == Set::solo) return Place::solo;
    return std::nullopt;
}

std::optional<Place> place_of(const Lifecycle& life, const Change& change) {
    bool changes_code = has_functions(life.model[change.set].top.file) || has_functions(life.model.target(change).file);
    return changes_code ? place_of(change.set) : std::nullopt;
}

bool is_in_force(const Lifecycle& life, Set set) {
    return life.model[set].top.is_there();
}

void allow_both(Lifecycle& life, const Change& change) {
    auto place = place_of(change.set);
    if (!place) return;
    allow(*place, one(life.model[change.set].top.file) | one(life.model.target(change).file));
}

patch::RefusalResult<void> request(Lifecycle& life, Change& change, u64 deadline_ns, u64& ticket) {
    allow_both(life, change);
    g_next_note.store(change.next_note, std::memory_order_release);
    switch (change.kind) {
        case ChangeKind::load:
            return life.registry.load(
                file_of(change.incoming.file), change.name.view(),
                {.probation_ns = change.probation_ns, .deadline_ns = deadline_ns, .canary = change.canary}, &ticket);
        case ChangeKind::unload:
            return life.registry.unregister(change.name.view(), deadline_ns, &ticket);
        case ChangeKind::rollback:
            return life.registry.rollback(change.name.view(), deadline_ns, &ticket);
    }
    return {};
}

patch::RefusalResult<void> decided(Lifecycle& life, u64 ticket) {
    if (ticket == 0) return {};
    std::optional<patch::RefusalResult<void>> outcome;
    bool known = eventually([&] {
        outcome = life.registry.outcome(ticket);
        return outcome.has_value();
    });
    if (known) return *outcome;
    hang(life, "the decision on a change with callbacks");
    return {};
}

bool begin(Lifecycle& life, Change& change, u64 deadline_ns) {
    u64 ticket = 0;
    auto begun = request(life, change, deadline_ns, ticket);
    if (begun) begun = decided(life, ticket);
    if (!begun) complain(life, "a change was refused", begun.error());
    return begun.has_value();
}

void settle(Lifecycle& life) {
    if (!eventually([&] { return life.registry.is_idle(); })) hang(life, "the end of a change");
}

void finish(Lifecycle& life, const Change& change, bool forward) {
    settle(life);
    if (forward) note_situations(life, change);
    life.model.complete(change, forward);
    check_all(life);
}

}  // namespace graft::lifecycle
