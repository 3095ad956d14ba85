#include "patch/state.h"

namespace graft::patch {

namespace {

using Stage = StateStage;

bool is_half_way(const State& state) {
    return state.stage == Stage::prepared || state.stage == Stage::leaving;
}

}  // namespace

std::string_view name_of(StateCallback callback) {
    constexpr std::array<std::string_view, formats::kKlpCallbackCount> kNames = {
        "pre_patch", "post_patch", "pre_unpatch", "post_unpatch", "destroy"};
    return kNames[static_cast<usize>(callback)];
}

std::string_view name_of(StateStage stage) {
    constexpr std::array<std::string_view, 4> kNames = {"absent", "prepared", "present", "leaving"};
    return kNames[static_cast<usize>(stage)];
}

const State* StateChange::find(const States* states, u64 id) {
    if (states == nullptr) return nullptr;
    for (const State& state : *states) {
        if (state.id == id) return &state;
    }
    return nullptr;
}

StateStep StateChange::next_before() const {
    if (incoming_ != nullptr) {
        for (State& state : *incoming_) {
            if (state.stage != Stage::absent || find(outgoing_, state.id) != nullptr) continue;
            return {&state, StateCallback::pre_patch};
        }
    }
    if (outgoing_ != nullptr) {
        for (State& state : *outgoing_) {
            if (state.stage != Stage::present || find(incoming_, state.id) != nullptr) continue;
            return {&state, StateCallback::pre_unpatch};
        }
    }
    return {};
}

StateStep StateChange::next_after(bool forward, bool keep_shadow) const {
    States* gone = forward ? outgoing_ : incoming_;
    States* there = forward ? incoming_ : outgoing_;
    if (gone != nullptr) {
        for (usize i = gone->size(); i > 0; --i) {
            State& state = (*gone)[i - 1];
            if (is_half_way(state)) return {&state, StateCallback::post_unpatch};
            if (state.owes_shadow && !keep_shadow) return {&state, StateCallback::destroy};
        }
    }
    if (there != nullptr) {
        for (State& state : *there) {
            if (is_half_way(state)) return {&state, StateCallback::post_patch};
        }
    }
    return {};
}

void StateChange::finish(const StateStep& step) {
    State& state = *step.state;
    switch (step.which) {
        case StateCallback::pre_patch:
            state.stage = Stage::prepared;
            state.owes_shadow = false;  // it has come back before they were ended: they are its own again
            break;
        case StateCallback::post_patch:
            state.stage = Stage::present;
            break;
        case StateCallback::pre_unpatch:
            state.stage = Stage::leaving;
            break;
        case StateCallback::post_unpatch:
            state.stage = Stage::absent;
            state.owes_shadow = true;
            break;
        case StateCallback::destroy:
            state.owes_shadow = false;
            break;
    }
}

void StateChange::hand_over(bool forward) const {
    States* gone = forward ? outgoing_ : incoming_;
    States* there = forward ? incoming_ : outgoing_;
    if (gone == nullptr || there == nullptr) return;
    for (State& state : *there) {
        auto* former = const_cast<State*>(find(gone, state.id));
        if (former == nullptr || former->stage != Stage::present) continue;
        former->stage = Stage::absent;
        state.stage = Stage::present;
        // Once it can't be undone it can't be undone, whatever the successor says of it.
        state.irreversible = state.irreversible || former->irreversible;
    }
}

StateStep next_debt(RecordArray<State>& states) {
    for (State& state : states) {
        if (state.owes_shadow) return {&state, StateCallback::destroy};
    }
    return {};
}

}  // namespace graft::patch
