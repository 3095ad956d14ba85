// The tests of the kernel inside the image. Each returns null, or what is wrong.
#pragma once

namespace graft::tests {

const char* heap_gives_back_all();
const char* heap_from_many_tasks();
const char* new_and_delete();
const char* boot_code_is_gone();

const char* tasks_run_and_join();
const char* priorities_are_kept();
const char* equal_tasks_share_a_processor();
const char* outranked_tasks_share_a_processor();
const char* all_processors_work();
const char* affinity_is_kept();
const char* sse_state_is_kept();
const char* ten_thousand_tasks();
const char* stacks_have_guards();

const char* mutex_excludes();
const char* condition_passes_items();
const char* semaphore_counts();
const char* wait_times_out();
const char* wait_is_interrupted();

const char* sleep_is_not_early();
const char* timers_fire_in_order();
const char* cancelled_timer_is_silent();
const char* timer_is_cancelled_by_several();
const char* work_runs();

const char* log_reader_waits();
const char* symbols_are_found();
const char* stacks_are_walked();
const char* statics_have_guards();
const char* serial_loopback();
inline bool use_second_port = false;  // set before the tests run: the port isn't the control link's

const char* shadow_variables_are_made_once();
const char* shadow_variables_are_ended_once();
const char* shadow_variables_without_interrupts();
const char* shadow_variables_go_with_heap_objects();

const char* patch_memory_has_the_right_access();
const char* released_patch_addresses_stay_away();
const char* image_functions_are_known();
const char* boot_functions_are_known();
const char* image_is_read_without_live_sites();
const char* transition_hooks_who_is_inside();
const char* transition_reaches_a_task_that_never_sleeps();
const char* transition_is_turned_round();
const char* new_tasks_are_born_moved();
const char* new_tasks_move_without_running();
const char* disbelieved_stacks_are_examined_again();
const char* who_exits_inside_holds_nothing();
const char* patch_worker_moves_from_inside();
const char* services_return_from_each_round();
const char* survey_changes_nothing();
const char* references_are_found();
const char* references_of_tasks_are_found();

const char* search_follows_what_moves();
const char* search_forgets_what_has_gone();
const char* search_sees_new_memory();
const char* search_isn_t_outrun();
const char* search_stops_for_little();
const char* search_finds_each_kind();

const char* nudged_task_returns_and_moves();
const char* nudge_is_refused_where_it_can_t_be();
const char* nudges_come_after_the_grace_time();
const char* nudge_is_for_one_wait();

}  // namespace graft::tests
