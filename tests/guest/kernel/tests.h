// The tests of the kernel inside the image. Each returns null, or what is wrong.
#pragma once

namespace graft::tests {

const char* heap_gives_back_all();
const char* heap_from_many_tasks();
const char* new_and_delete();

const char* tasks_run_and_join();
const char* priorities_are_kept();
const char* equal_tasks_share_a_processor();
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
const char* work_runs();

const char* log_reader_waits();
const char* symbols_are_found();
const char* stacks_are_walked();
const char* statics_have_guards();
const char* serial_loopback();
inline bool use_second_port = false;  // set before the tests run: the port isn't the control link's

}  // namespace graft::tests
