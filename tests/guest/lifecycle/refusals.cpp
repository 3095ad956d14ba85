// Operations that must be refused, with exactly this reason, and leave everything as it was.
#include <algorithm>

#include "formats/klp.h"
#include "tests/guest/lifecycle/operations.h"

namespace graft::lifecycle {

namespace {

using patch::RefusalCode;

void expect(Lifecycle& life, const patch::RefusalResult<void>& result, RefusalCode code) {
    if (result) {
        complain(life, "wasn't refused", patch::name_of(code));
    } else if (result.error().code != code) {
        complain(life, patch::name_of(code), result.error());
    }
    settle(life);
    check_all(life);
}

bool load_refused(Lifecycle& life, File file, RefusalCode code, const patch::LoadOptions& options = {}) {
    u64 ticket = 0;
    auto result = life.registry.load(file_of(file), new_name(life).view(), options, &ticket);
    if (result) result = decided(life, ticket);
    expect(life, result, code);
    return true;
}

// A copy of a patch, damaged.
template <typename Damage>
bool load_damaged(Lifecycle& life, RefusalCode code, Damage&& damage) {
    auto file = file_of(File::solo_2);
    auto* copy = static_cast<std::byte*>(kernel::heap_allocate(file.size()));
    if (copy == nullptr) {
        complain(life, "no memory for a copy of a patch");
        return true;
    }
    std::ranges::copy(file, copy);
    usize size = damage(std::span(copy, file.size()));
    auto result = life.registry.load(std::span<const std::byte>(copy, size), new_name(life).view(), {});
    kernel::heap_release(copy);
    expect(life, result, code);
    return true;
}

void flip(std::byte& byte) {
    byte ^= std::byte{1};
}

bool cut_off(Lifecycle& life) {
    return load_damaged(life, RefusalCode::not_a_patch,
                        [&](std::span<std::byte> copy) { return static_cast<usize>(draw(life, copy.size())); });
}

// Any byte of the object: nothing of it is believed before the signature is.
bool tampered(Lifecycle& life) {
    return load_damaged(life, RefusalCode::wrong_signature, [&](std::span<std::byte> copy) {
        flip(copy[draw(life, copy.size() - formats::kKlpEnvelopeSize)]);
        return copy.size();
    });
}

bool bad_name(Lifecycle& life) {
    expect(life, life.registry.load(file_of(File::tally), "a/b", {}), RefusalCode::bad_name);
    return true;
}

// The names of those that are in force and of those that are dormant.
bool name_taken(Lifecycle& life) {
    const SetState& set = life.model[static_cast<Set>(draw(life, kSetCount))];
    if (!set.top.is_there()) return false;
    const Loaded& holder = set.dormant.is_there() ? set.dormant : set.top;
    expect(life, life.registry.load(file_of(File::refusing), holder.name.view(), {}), RefusalCode::name_taken);
    return true;
}

bool on_probation(Lifecycle& life) {
    constexpr File kOfSet[] = {File::pair_2, File::solo_2, File::tally};
    u64 set = draw(life, kSetCount);
    return life.model[static_cast<Set>(set)].on_probation && load_refused(life, kOfSet[set], RefusalCode::on_probation);
}

bool function_taken(Lifecycle& life) {
    return is_in_force(life, Set::solo) && load_refused(life, File::clash, RefusalCode::function_taken);
}

// Also when the state's holder is dormant: a rollback would need it.
bool state_taken(Lifecycle& life) {
    const SetState& pair = life.model[Set::pair];
    bool is_held = state_of(pair.top.file) == kLedger || state_of(pair.dormant.file) == kLedger;
    return is_held && load_refused(life, File::foreign, RefusalCode::state_taken);
}

bool older_state(Lifecycle& life) {
    const SetState& pair = life.model[Set::pair];
    bool is_later = pair.top.file == File::pair_2 || pair.top.file == File::pair_4;
    return is_later && !pair.on_probation && load_refused(life, File::pair_1, RefusalCode::older_state);
}

bool irreversible(Lifecycle& life) {
    return load_refused(life, File::forever, RefusalCode::irreversible_state, {.probation_ns = kLongNs});
}

bool pre_patch(Lifecycle& life) {
    life.model.refuse_second_state(File::refusing);
    return load_refused(life, File::refusing, RefusalCode::pre_patch_refused);
}

bool unknown(Lifecycle& life) {
    expect(life, life.registry.unregister("nobody"), RefusalCode::unknown_patch);
    return true;
}

bool not_in_transition(Lifecycle& life) {
    const Loaded& top = life.model[static_cast<Set>(draw(life, kSetCount))].top;
    if (!top.is_there()) return false;
    bool reverse = one_in(life, 2);
    expect(life, reverse ? life.registry.reverse(top.name.view()) : life.registry.force(top.name.view()),
           RefusalCode::not_in_transition);
    return true;
}

bool not_on_probation(Lifecycle& life) {
    const SetState& set = life.model[static_cast<Set>(draw(life, kSetCount))];
    if (!set.top.is_there() || set.on_probation) return false;
    bool back = one_in(life, 2);
    expect(life, back ? life.registry.rollback(set.top.name.view()) : life.registry.commit(set.top.name.view()),
           RefusalCode::not_on_probation);
    return true;
}

// One transition at a time, whoever asks.
bool transition_running(Lifecycle& life) {
    Change change = pick_change(life);
    auto place = place_of(life, change);
    if (!place) return false;
    enter(*place);
    if (begin(life, change)) {
        auto code_of = [](const patch::RefusalResult<void>& result) {
            return result ? std::optional<RefusalCode>() : result.error().code;
        };
        auto loading = life.registry.load(file_of(File::refusing), new_name(life).view(), {});
        require(life, code_of(loading) == RefusalCode::transition_running, "a load during a transition");
        if (change.kind != ChangeKind::load) {
            auto again = life.registry.unregister(change.name.view());
            require(life, code_of(again) == RefusalCode::already_leaving, "an unload of what leaves already");
        }
        leave();
        finish(life, change, true);
    } else {
        leave();
    }
    return true;
}

constexpr Operation kRefusals[] = {
    {"refused-cut-off", cut_off},
    {"refused-tampered", tampered},
    {"refused-bad-name", bad_name},
    {"refused-name-taken", name_taken},
    {"refused-on-probation", on_probation},
    {"refused-function-taken", function_taken},
    {"refused-state-taken", state_taken},
    {"refused-older-state", older_state},
    {"refused-irreversible", irreversible},
    {"refused-pre-patch", pre_patch},
    {"refused-unknown", unknown},
    {"refused-not-in-transition", not_in_transition},
    {"refused-not-on-probation", not_on_probation},
    {"refused-transition-running", transition_running},
};

}  // namespace

std::span<const Operation> refusals() {
    return kRefusals;
}

}  // namespace graft::lifecycle
