// State: a change to the system that a patch owns, under an id by which it is handed from patch to patch of a set.
//
//   stage     | means                                          | leads to
//   ----------+------------------------------------------------+----------------------------------------------
//   absent    | not made by this patch                         | prepared: pre_patch has run and agreed
//   prepared  | the way there is being gone                    | present: post_patch has run; absent: post_unpatch
//   present   | this patch is its holder                       | leaving: pre_unpatch has run; absent: handed on
//   leaving   | the way back is being gone                     | absent: post_unpatch has run; present: post_patch
//
// So pre_patch and post_unpatch make a pair, and pre_unpatch is followed by post_unpatch, or by post_patch when the way
// back was turned. A patch that refuses in pre_patch hasn't made anything: it gets no post_unpatch.
//
// A callback that a state doesn't have counts as one that has run. Locking: the registry's lock.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"
#include "formats/klp.h"
#include "patch/machine.h"
#include "patch/memory.h"
#include "patch/plan.h"
#include "patch/refusal.h"

namespace graft::patch {

using StateCallback = formats::KlpCallback;

enum class StateStage : u8 { absent, prepared, present, leaving };

struct State {
    u64 id = 0;
    u32 version = 0;
    bool irreversible = false;
    u64 time_limit_ns = 0;                                        // of one callback
    std::array<VirtAddr, formats::kKlpCallbackCount> callback{};  // by StateCallback; null: none
    Label<formats::kKlpMaxPatchName> name;

    StateStage stage = StateStage::absent;
    // The state has gone and its shadow variables haven't been ended yet: they go when no way leads back.
    bool owes_shadow = false;

    VirtAddr function(StateCallback which) const { return callback[static_cast<usize>(which)]; }
};

std::string_view name_of(StateCallback callback);
std::string_view name_of(StateStage stage);

// Which callback is to run next, of which state.
struct StateStep {
    State* state = nullptr;
    StateCallback which = StateCallback::pre_patch;

    explicit operator bool() const { return state != nullptr; }
};

// The callbacks of one change of a set: `incoming` and `outgoing`, either of which may be missing. A state that both
// name is taken over: nothing runs for it. All lists may be empty.
class StateChange {
public:
    using States = RecordArray<State>;

    StateChange(States* incoming, States* outgoing) : incoming_(incoming), outgoing_(outgoing) {}

    // Before the first call site is live: pre_patch of what appears, then pre_unpatch of what disappears.
    StateStep next_before() const;
    // When all tasks have moved, or the change is given up: post_unpatch of what has gone, the last one first, then
    // `destroy` for its shadow variables unless `keep_shadow`, then post_patch of what is there. `forward`: the
    // incoming side is in force.
    StateStep next_after(bool forward, bool keep_shadow) const;
    // The step's callback has returned, not refused.
    static void finish(const StateStep& step);
    // The step's pre_patch has refused, or wasn't left alive: what it attached goes.
    static void refuse(const StateStep& step) { step.state->owes_shadow = true; }
    // Everything of next_after() has run: what both name belongs to the side in force.
    void hand_over(bool forward) const;

private:
    static const State* find(const States* states, u64 id);

    States* incoming_;
    States* outgoing_;
};

// What next_after() left of the patch's shadow variables: one step a state that owes them.
StateStep next_debt(RecordArray<State>& states);

}  // namespace graft::patch
