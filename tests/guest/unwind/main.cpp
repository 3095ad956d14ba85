// The walker inside the image: every instruction of two tasks is compared with a shadow call stack, and stacks broken
// in each listed way are walked.
//
//   steps=N   how many instructions (default 20000)
//   seed=N    of the moments of interrupts, hooks and corruptions (default 1)
//
// Output: KTAP, and a last line
//   unwind: steps=N differences=N corrupted=N refused=N
//
// One processor: its maskable interrupts are held off while it steps.

#include <array>

#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/measuring.h"
#include "kernel/app.h"
#include "kernel/console.h"
#include "kernel/interrupts.h"
#include "kernel/patch_machine.h"
#include "kernel/power.h"
#include "kernel/task.h"
#include "kernel/task_list.h"
#include "tests/call_shapes.h"
#include "tests/guest/unwind/stepper.h"

namespace graft::unwind_test {

namespace {

constexpr usize kStackSize = 128 << 10;
// Holds off every vector [intel/vol3 §10.8.6].
constexpr u64 kHighestTaskPriority = 15;

constinit Stepper* stepper = nullptr;
constinit kernel::PatchMachine machine;

void set_task_priority(u64 priority) {
    asm volatile("movq %0, %%cr8" ::"r"(priority) : "memory");
}

bool handle_debug(arch::InterruptFrame* frame, void*) {
    stepper->step(*frame);
    return true;
}

[[gnu::noinline]] u64 behind_trampoline(u64 value) {
    return shape_leaf(value) + 1;
}

void first_task(void*) {
    set_task_priority(kHighestTaskPriority);
    for (u64 i = 0; !stepper->is_over(); ++i) {
        stepper->begin_here();
        shapes::sink = shapes::round(i);
    }
    set_task_priority(0);
}

void second_task(void*) {
    stepper->begin_here();
    shapes::ends_in_call(7);
}

// The call site of a function leads through a trampoline whose both sides are its own code.
AddressRange put_trampoline() {
    VirtAddr entry(reinterpret_cast<const void*>(&behind_trampoline));
    VirtAddr original = entry + patch::kCallSiteSize;
    patch::Dispatch dispatch{entry, {original, original}};
    auto made = machine.make_trampolines(std::span(&dispatch, 1));
    if (!made) return {};
    patch::SiteChange change{entry, made->slot(0)};
    if (!machine.write_sites(std::span(&change, 1))) return {};
    return made->text;
}

// Functions of every shape whose calls are measured, calls of one another among them.
bool measure_shapes() {
    const std::array<const void*, 7> functions = {
        reinterpret_cast<const void*>(&shape_leaf),
        reinterpret_cast<const void*>(&shapes::recursion),
        reinterpret_cast<const void*>(&shapes::big_frame),
        reinterpret_cast<const void*>(&shapes::variadic),
        reinterpret_cast<const void*>(&shapes::by_value),
        reinterpret_cast<const void*>(&shapes::realigned_variable),
        reinterpret_cast<const void*>(&shapes::switch_heavy),
    };
    std::array<patch::Dispatch, functions.size()> dispatches;
    std::array<patch::SiteChange, functions.size()> changes;
    for (usize i = 0; i < functions.size(); ++i) {
        VirtAddr entry(functions[i]);
        VirtAddr original = entry + patch::kCallSiteSize;
        dispatches[i] = {entry, {original, original}, true};
        changes[i] = {entry, machine.measured_site(entry)};
    }
    auto prepared = machine.prepare_measuring(dispatches, patch::Universe::zero, patch::Universe::one);
    return prepared && machine.write_sites(changes);
}

bool run_tasks(Stepper& running) {
    stepper = &running;
    kernel::set_exception_handler(arch::kVectorDebug, handle_debug, nullptr);
    std::array<kernel::TaskHandle, 2> handles;
    std::array<kernel::TaskFunction, 2> functions = {first_task, second_task};
    for (usize i = 0; i < handles.size(); ++i) {
        auto made = kernel::create_task(
            functions[i], nullptr, {.name = i == 0 ? "first" : "second", .processors = 1, .stack_size = kStackSize});
        if (!made) return false;
        handles[i] = std::move(*made);
        // Neither runs before this task waits.
        running.add(*kernel::find_task(handles[i].id()));
    }
    for (auto& handle : handles) handle.join();
    return true;
}

class Report {
public:
    void check(bool holds, std::string_view name) {
        Text<200> line;
        line.append(holds ? "ok " : "not ok ", ++number_, " - ", name, "\n");
        kernel::console_write(line.view());
        failed_ = failed_ || !holds;
    }
    bool failed() const { return failed_; }

private:
    u32 number_ = 0;
    bool failed_ = false;
};

void print_remarks(const Stepper& done) {
    const Counters& counters = done.counters();
    Text<800> text;
    text.append("# frames ", counters.frames, ", with interrupts on ", counters.interruptible,
                ", walks of the other task ", counters.others, ", interrupts ", counters.interrupts, ", switches ",
                counters.switches, ", hooks ", counters.hooks, ", fired ", counters.hooks_fired,
                ", steps in a trampoline ", counters.in_trampoline, "\n");
    text.append("# steps in measuring ", counters.in_measuring, ", measured returns ", counters.measured_returns,
                ", right after a hook ", counters.measured_and_hooked, "\n");
    u64 flips = counters.flips == 0 ? 1 : counters.flips;
    text.append("# single-bit flips ", counters.flips, ", refused ", counters.flips_refused, ", unnoticed ",
                counters.flips_unnoticed, " (", counters.flips_unnoticed * 10000 / flips, " of 10000)\n");
    if (!done.first_difference().empty()) text.append("# first difference: ", done.first_difference(), "\n");
    if (!done.first_unnoticed().empty()) text.append("# first corruption believed: ", done.first_unnoticed(), "\n");
    kernel::console_write(text.view());
}

bool report(const Stepper& done, bool ran, u64 steps) {
    const Counters& counters = done.counters();
    print_remarks(done);
    kernel::console_write("KTAP version 1\n1..6\n");
    Report report;
    report.check(ran && counters.steps >= steps, "every step was made");
    report.check(counters.differences == 0, "every walk equals the shadow call stack");
    report.check(counters.corrupted != 0 && counters.refused == counters.corrupted, "every corruption is refused");
    bool all_seen = counters.others != 0 && counters.interrupts != 0 && counters.switches != 0;
    report.check(all_seen, "interrupts and switches were stepped through");
    report.check(counters.hooks_fired != 0 && counters.in_trampoline != 0,
                 "hooks and trampolines were stepped through");
    report.check(counters.in_measuring != 0 && counters.measured_returns != 0 && counters.measured_and_hooked != 0,
                 "measured calls were stepped through, hooked ones among them");
    Text<200> line;
    line.append("unwind: steps=", counters.steps, " differences=", counters.differences);
    line.append(" corrupted=", counters.corrupted, " refused=", counters.refused, "\n");
    kernel::console_write(line.view());
    return !report.failed();
}

}  // namespace

}  // namespace graft::unwind_test

namespace graft::shapes {

void give_way() {
    kernel::yield();
}
bool is_over() {
    return unwind_test::stepper->is_over();
}
void end() {
    kernel::exit_task();
}
u64 by_pointer(u64 value) {
    u64 (*volatile target)(u64) = unwind_test::behind_trampoline;
    return target(value);
}

}  // namespace graft::shapes

void app_main(const graft::kernel::CommandLine& arguments) {
    using namespace graft;
    u64 steps = arguments.number("steps", 20000);
    unwind_test::Stepper running(steps, arguments.number("seed", 1), unwind_test::put_trampoline());
    bool ran = unwind_test::measure_shapes() && unwind_test::run_tasks(running);
    bool good = unwind_test::report(running, ran, steps);
    kernel::console_flush();
    kernel::exit_with(good ? kernel::kExitSuccess : kernel::kExitFailure);
}
