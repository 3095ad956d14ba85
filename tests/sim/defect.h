// Deliberate defects: wrong machinery round the core, each of which the simulation must notice. A simulation that can't
// tell these from the real thing proves nothing.
#pragma once

#include <array>
#include <string_view>

#include "base/types.h"

namespace graft::sim {

enum class Defect : u8 {
    none,
    no_stack_check,         // tasks move without a look at their stacks
    innermost_only,         // only the innermost frame is looked at
    unreliable_is_clear,    // a walk that failed counts as clear
    stale_verdict,          // a task may run on between the look at its stack and its move
    sites_late,             // tasks move before the last call site is live
    missing_sync,           // processors go on with old call sites after a change
    site_forgotten,         // one call site of a batch isn't written
    missing_drain,          // tasks stay in trampolines when these go
    trampoline_ignored,     // a task in a call site or trampoline counts as outside
    holds_ignored,          // held functions don't count as changing
    tail_ignored,           // split-off parts don't count
    patch_text_ignored,     // the patch's own text doesn't count
    hook_forgotten,         // hooks stay when the transition turns or ends, and lead where it led when they were set
    hook_lost_on_turn,      // turning takes hooks off and nobody looks at these tasks again
    hook_on_top,            // the innermost frame is hooked, and the hook moves without a look
    birth_wrong_state,      // a new task doesn't take its creator's state
    exit_still_counts,      // who exits before moving is waited for
    completes_early,        // tasks that haven't moved aren't counted
    freed_early,            // pointers into a patch aren't found
    rollback_partial,       // a rollback leaves one function as it is
    no_op_missing,          // what the successor doesn't replace stays with the predecessor
    dormant_lost,           // a predecessor is let go as soon as it has been replaced
    forced_freed_at_once,   // nobody looks whether somebody is in what was put out of force by force
    forced_text_ignored,    // such a patch's text doesn't count in later transitions
    force_forgets_one,      // one task isn't moved by force
    deadline_ignored,       // no alarm for a deadline
    expiry_ignored,         // no alarm for the end of a probation
    withdrawal_lost,        // the system's own way back is forgotten
    commit_frees_early,     // a commit frees the predecessor without a search
    outsider_moves,         // one task outside a canary's share moves with it
    share_lost_on_turn,     // a canary that is turned twice is for everybody
    birth_crosses,          // a newborn is on the other side though its creator is inside
    promoted_unasked,       // a canary whose share has moved goes on by itself
    promotion_forgets_one,  // one task stays where it is when a canary is promoted
    leak_on_failure,        // a failed allocation leaves a record behind
    fault_forgotten,        // nobody tells the registry of a contained fault
    fault_uncovered,        // faults on probation aren't contained
    stopped_stays,          // a task that has faulted doesn't end
    count,
};

inline constexpr usize kDefectCount = static_cast<usize>(Defect::count);

constexpr std::string_view name_of(Defect defect) {
    constexpr std::array<std::string_view, kDefectCount> kNames = {"none",
                                                                   "no_stack_check",
                                                                   "innermost_only",
                                                                   "unreliable_is_clear",
                                                                   "stale_verdict",
                                                                   "sites_late",
                                                                   "missing_sync",
                                                                   "site_forgotten",
                                                                   "missing_drain",
                                                                   "trampoline_ignored",
                                                                   "holds_ignored",
                                                                   "tail_ignored",
                                                                   "patch_text_ignored",
                                                                   "hook_forgotten",
                                                                   "hook_lost_on_turn",
                                                                   "hook_on_top",
                                                                   "birth_wrong_state",
                                                                   "exit_still_counts",
                                                                   "completes_early",
                                                                   "freed_early",
                                                                   "rollback_partial",
                                                                   "no_op_missing",
                                                                   "dormant_lost",
                                                                   "forced_freed_at_once",
                                                                   "forced_text_ignored",
                                                                   "force_forgets_one",
                                                                   "deadline_ignored",
                                                                   "expiry_ignored",
                                                                   "withdrawal_lost",
                                                                   "commit_frees_early",
                                                                   "outsider_moves",
                                                                   "share_lost_on_turn",
                                                                   "birth_crosses",
                                                                   "promoted_unasked",
                                                                   "promotion_forgets_one",
                                                                   "leak_on_failure",
                                                                   "fault_forgotten",
                                                                   "fault_uncovered",
                                                                   "stopped_stays"};
    return kNames[static_cast<usize>(defect)];
}

}  // namespace graft::sim
