#include "tests/guest/lifecycle/model.h"

namespace graft::lifecycle {

u64 state_of(File file) {
    switch (file) {
        case File::pair_1:
        case File::pair_2:
        case File::pair_4:
            return kLedger;
        case File::solo_1:
            return kNotes;
        case File::tally:
            return 1;
        default:
            return 0;
    }
}

Loaded Model::target(const Change& change) const {
    if (change.kind == ChangeKind::load) return change.incoming;
    return change.kind == ChangeKind::rollback ? (*this)[change.set].dormant : Loaded{};
}

void Model::complete(const Change& change, bool forward) {
    SetState& set = sets_[static_cast<usize>(change.set)];
    Loaded from = set.top;
    Loaded to = target(change);
    run_callbacks(from.file, to.file, forward);
    if (forward) {
        bool probation = change.kind == ChangeKind::load && change.probation_ns != 0;
        set = {.top = to, .dormant = probation ? from : Loaded{}, .on_probation = probation};
    }
    keep_notes(change.next_note);
}

void Model::end_probation(Set set) {
    sets_[static_cast<usize>(set)].dormant = {};
    sets_[static_cast<usize>(set)].on_probation = false;
    keep_notes(0);
}

void Model::refuse_second_state(File file) {
    run(file, Callback::pre_patch);
    run(file, Callback::post_unpatch);
}

// A state that both name is taken over without a call.
void Model::run_callbacks(File from, File to, bool forward) {
    if (state_of(from) == state_of(to)) return;
    if (state_of(to) != 0) {
        run(to, Callback::pre_patch);
        run(to, forward ? Callback::post_patch : Callback::post_unpatch);
    }
    if (state_of(from) != 0) {
        run(from, Callback::pre_unpatch);
        run(from, forward ? Callback::post_unpatch : Callback::post_patch);
    }
}

// Notes live as long as a patch with their state is in force or can be gone back to.
void Model::keep_notes(u64 next_note) {
    const SetState& solo = sets_[static_cast<usize>(Set::solo)];
    bool kept = state_of(solo.top.file) == kNotes || state_of(solo.dormant.file) == kNotes;
    if (!kept) note_ = 0;
    if (kept && note_ == 0) note_ = next_note;
}

}  // namespace graft::lifecycle
