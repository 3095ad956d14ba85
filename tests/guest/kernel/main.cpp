// Tests of the kernel in the image: KTAP on the console. With `control=off` the second serial port is tested, too;
// `test=stack-overflow` and `test=panic` end in a panic that the
// runner expects.

#include "kernel/app.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

struct Entry {
    const char* name;
    const char* (*test)();
};

constexpr Entry kTests[] = {
    {"heap gives back all", heap_gives_back_all},
    {"heap from many tasks", heap_from_many_tasks},
    {"new and delete", new_and_delete},
    {"boot code is gone", boot_code_is_gone},
    {"tasks run and join", tasks_run_and_join},
    {"priorities are kept", priorities_are_kept},
    {"equal tasks share a processor", equal_tasks_share_a_processor},
    {"equal tasks share a processor though they are often outranked", outranked_tasks_share_a_processor},
    {"all processors work", all_processors_work},
    {"affinity is kept", affinity_is_kept},
    {"SSE state is kept", sse_state_is_kept},
    {"stacks have guards", stacks_have_guards},
    {"mutex excludes", mutex_excludes},
    {"condition passes items", condition_passes_items},
    {"semaphore counts", semaphore_counts},
    {"wait times out", wait_times_out},
    {"wait is interrupted", wait_is_interrupted},
    {"sleep is not early", sleep_is_not_early},
    {"timers fire in order", timers_fire_in_order},
    {"cancelled timer is silent", cancelled_timer_is_silent},
    {"timer is cancelled by several", timer_is_cancelled_by_several},
    {"deferred work runs", work_runs},
    {"log reader waits", log_reader_waits},
    {"symbols are found", symbols_are_found},
    {"stacks are walked", stacks_are_walked},
    {"statics have guards", statics_have_guards},
    {"serial loopback", serial_loopback},
    {"shadow variables are made once", shadow_variables_are_made_once},
    {"shadow variables are ended once", shadow_variables_are_ended_once},
    {"shadow variables without interrupts", shadow_variables_without_interrupts},
    {"shadow variables go with heap objects", shadow_variables_go_with_heap_objects},
    {"patch memory has the right access", patch_memory_has_the_right_access},
    {"released patch addresses stay away", released_patch_addresses_stay_away},
    {"image functions are known", image_functions_are_known},
    {"boot functions are known", boot_functions_are_known},
    {"image is read without live sites", image_is_read_without_live_sites},
    {"transition hooks who is inside", transition_hooks_who_is_inside},
    {"transition reaches a task that never sleeps", transition_reaches_a_task_that_never_sleeps},
    {"transition is turned round", transition_is_turned_round},
    {"new tasks move without running", new_tasks_move_without_running},
    {"disbelieved stacks are examined again", disbelieved_stacks_are_examined_again},
    {"new tasks are born moved", new_tasks_are_born_moved},
    {"who exits inside holds nothing", who_exits_inside_holds_nothing},
    {"patch worker moves from inside", patch_worker_moves_from_inside},
    {"services return from each round", services_return_from_each_round},
    {"survey changes nothing", survey_changes_nothing},
    {"references are found", references_are_found},
    {"references of tasks are found", references_of_tasks_are_found},
    {"search follows what moves", search_follows_what_moves},
    {"search forgets what has gone", search_forgets_what_has_gone},
    {"search sees new memory", search_sees_new_memory},
    {"search isn't outrun", search_isn_t_outrun},
    {"search stops the processors for little", search_stops_for_little},
    {"search finds each kind", search_finds_each_kind},
    {"nudged task returns and moves", nudged_task_returns_and_moves},
    {"nudge is refused where it can't be", nudge_is_refused_where_it_can_t_be},
    {"nudges come after the grace time", nudges_come_after_the_grace_time},
    {"nudge is for one wait", nudge_is_for_one_wait},
    {"ten thousand tasks", ten_thousand_tasks},
};

void run_all(bool second_port_is_free) {
    use_second_port = second_port_is_free;
    Ktap ktap(sizeof(kTests) / sizeof(kTests[0]));
    for (const Entry& entry : kTests) ktap.run(entry.name, entry.test);
    ktap.finish();
}

volatile u64 deepest = ~u64{0};  // the stack ends before

// Not inlined and not a loop: each call needs its frame.
[[gnu::noinline]] u64 dig(u64 depth) {
    volatile u64 room[16];
    room[depth % 16] = depth;
    if (depth == deepest) return 0;
    return dig(depth + 1) + room[depth % 16];
}

}  // namespace

}  // namespace graft::tests

void app_main(const graft::kernel::CommandLine& arguments) {
    auto test = arguments.value("test").value_or("");
    if (test == "stack-overflow") {
        graft::kernel::log_parts(graft::kernel::LogLevel::info, "deep: ", graft::tests::dig(0));
    } else if (test == "panic") {
        graft::kernel::panic("asked for");
    } else {
        graft::tests::run_all(!arguments.flag("control", true));
    }
}
