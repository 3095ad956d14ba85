#include "tests/sim/history.h"

namespace graft::sim {

std::string_view name_of(Happening happening) {
    constexpr std::array<std::string_view, kHappeningCount> kNames = {"loaded",
                                                                      "replaced",
                                                                      "replaced_by_empty",
                                                                      "replaced_by_same",
                                                                      "probation",
                                                                      "rolled_back",
                                                                      "rolled_back_to_original",
                                                                      "rolled_back_by_itself",
                                                                      "rollback_turned",
                                                                      "committed",
                                                                      "expired",
                                                                      "unloaded",
                                                                      "unloaded_on_probation",
                                                                      "unload_turned",
                                                                      "load_turned",
                                                                      "turned",
                                                                      "deadline_turned",
                                                                      "withdrawn_load",
                                                                      "fault_turned",
                                                                      "fault_rolled_back",
                                                                      "fault_on_way_out",
                                                                      "fault_fatal",
                                                                      "forced",
                                                                      "forced_inside",
                                                                      "forced_in_flight",
                                                                      "turned_after_force",
                                                                      "forced_freed",
                                                                      "lingered",
                                                                      "freed_later",
                                                                      "request_failed",
                                                                      "rollback_failed",
                                                                      "stuck",
                                                                      "canary",
                                                                      "canary_promoted",
                                                                      "canary_turned",
                                                                      "canary_gave_way",
                                                                      "born_across",
                                                                      "born_inherited",
                                                                      "without_sites",
                                                                      "birth",
                                                                      "death",
                                                                      "thousands"};
    return kNames[static_cast<usize>(happening)];
}

void HistoryResult::add(const HistoryResult& other) {
    for (usize i = 0; i < kHappeningCount; ++i) happened[i] += other.happened[i];
    for (usize i = 0; i < refused.size(); ++i) refused[i] += other.refused[i];
    for (usize i = 0; i < moves.size(); ++i) moves[i] += other.moves[i];
    events += other.events;
    histories += other.histories;
}

std::array<patch::RefusalCode, 17> expected_refusals() {
    using enum patch::RefusalCode;
    return {name_taken,     transition_running, on_probation,  rollback_due,    function_taken,    no_funcs,
            no_memory,      site_mismatch,      unknown_patch, already_leaving, not_in_transition, not_on_probation,
            wrong_position, canary_running,     not_a_canary,  canary_turned,   name_lingers};
}

}  // namespace graft::sim
