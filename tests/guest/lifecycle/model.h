// The reference model: what each set must be after each change, how often each callback must have run, and which shadow
// variables there must be. It knows the rules of docs/reference/states.md and patch/registry.h, and nothing of how they
// are kept.
#pragma once

#include <array>

#include "patch/canary.h"
#include "patch/refusal.h"
#include "tests/guest/lifecycle/world.h"

namespace graft::lifecycle {

enum class Set : u8 { pair, solo, tally };
inline constexpr usize kSetCount = 3;

struct Loaded {
    File file = File::none;
    patch::Label<32> name;

    bool is_there() const { return file != File::none; }
};

struct SetState {
    Loaded top;
    Loaded dormant;
    bool on_probation = false;
};

enum class ChangeKind : u8 { load, unload, rollback };

struct Change {
    Set set = Set::pair;
    ChangeKind kind = ChangeKind::load;
    Loaded incoming{};             // load
    u64 probation_ns = 0;          // load
    patch::CanaryPolicy canary{};  // load
    u64 next_note = 0;             // what a note made by it says
    patch::Label<32> name{};       // the registered patch that it is asked of, afterwards
};

// The state that the patch names, or 0; those of the sets.
u64 state_of(File file);

class Model {
public:
    const SetState& operator[](Set set) const { return sets_[static_cast<usize>(set)]; }
    const CallbackCounts& callbacks() const { return callbacks_; }
    u64 note() const { return note_; }  // what each object's note says; 0: there is none

    Loaded target(const Change& change) const;
    // The change has come to its end; `forward`: not turned.
    void complete(const Change& change, bool forward);
    void end_probation(Set set);
    // A patch without a set here was refused by its second state's pre_patch.
    void refuse_second_state(File file);

private:
    void run(File file, Callback callback) { ++callbacks_[static_cast<usize>(file)][static_cast<usize>(callback)]; }
    void run_callbacks(File from, File to, bool forward);
    void keep_notes(u64 next_note);

    std::array<SetState, kSetCount> sets_{};
    CallbackCounts callbacks_{};
    u64 note_ = 0;
};

}  // namespace graft::lifecycle
