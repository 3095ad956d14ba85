// Measured calls, seen from tasks: what they hand over and return, how they are counted and timed, and that they may
// begin, end and be interrupted at any moment.

#include <array>
#include <atomic>
#include <cstdarg>
#include <optional>
#include <span>
#include <utility>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/measuring.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/return_hook.h"
#include "arch/x86_64/upcalls.h"
#include "kernel/app.h"
#include "kernel/measuring.h"
#include "kernel/memory.h"
#include "kernel/patch_machine.h"
#include "kernel/task.h"
#include "kernel/task_walk.h"
#include "kernel/timers.h"
#include "tests/guest/shared/ktap.h"

namespace graft {

namespace {

using patch::MeasuredCalls;
using patch::Universe;
using tests::Ktap;

constexpr u64 kMillisecond = 1'000'000;

constinit kernel::PatchMachine machine;

// Measures one function while it stands; its calls count as the old version's, of tasks in either universe.
class Measured {
public:
    explicit Measured(const void* function)
        : dispatch_{VirtAddr(function), {VirtAddr(function) + 5, VirtAddr(function) + 5}, true} {
        patch::SiteChange change{dispatch_.entry, machine.measured_site(dispatch_.entry)};
        works_ = machine.prepare_measuring(std::span(&dispatch_, 1), Universe::zero, Universe::one).has_value() &&
                 machine.write_sites(std::span(&change, 1)).has_value();
    }
    Measured(const Measured&) = delete;
    Measured& operator=(const Measured&) = delete;
    ~Measured() {
        patch::SiteChange change{dispatch_.entry, {}};
        (void)machine.write_sites(std::span(&change, 1));
        machine.stop_measuring(std::span(&dispatch_, 1));
    }

    bool works() const { return works_; }
    MeasuredCalls calls() const { return machine.measured(dispatch_.entry).before; }

private:
    patch::Dispatch dispatch_;
    bool works_ = false;
};

const void* at(auto* function) {
    return reinterpret_cast<const void*>(function);
}

void detail_of(TextBuffer& out, const MeasuredCalls& calls) {
    out.append("calls ", calls.calls, ", timed ", calls.timed, ", untimed ", calls.untimed, ", min ", calls.min_ns,
               ", mean ", calls.mean_ns, ", p99 ", calls.p99_ns);
}

// ---- what is measured -----------------------------------------------------------------------------------------------

volatile u64 sink;

[[gnu::noinline, gnu::noclone]] u64 leaf(u64 value) {
    return value * 3 + 1;
}

[[gnu::noinline, gnu::noclone]] u64 spin(u64 rounds) {
    for (u64 i = 0; i < rounds; ++i) sink = i;
    return rounds;
}

[[gnu::noinline, gnu::noclone]] u64 recursion(u64 depth) {
    return depth == 0 ? 1 : recursion(depth - 1) + depth;
}

[[gnu::noinline, gnu::noclone]] u64 sleeps(u64 ns) {
    kernel::sleep_ns(ns);
    return ns + 1;
}

struct Big {
    u64 words[12];
};
[[gnu::noinline, gnu::noclone]] Big by_value(Big big, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f, u64 g) {
    big.words[0] = a + b + c + d + e + f + g;
    return big;
}

// Whether vector registers hold arguments is said by rax.
[[gnu::noinline, gnu::noclone]] double sum_of(int count, ...) {
    va_list list;
    va_start(list, count);
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += va_arg(list, double);
    va_end(list);
    return sum;
}

struct Pair {
    u64 low, high;
};
[[gnu::noinline, gnu::noclone]] Pair pair_of(u64 value) {
    return {value, ~value};
}

[[noreturn, gnu::noinline, gnu::noclone]] void exits() {
    kernel::exit_task();
}

// ---- what is handed over --------------------------------------------------------------------------------------------

void test_values(Ktap& ktap) {
    Measured value(at(&by_value));
    Measured floating(at(&sum_of));
    Measured pair(at(&pair_of));
    bool right = value.works() && floating.works() && pair.works();
    Big big{};
    big.words[11] = 77;
    Big back = by_value(big, 1, 2, 3, 4, 5, 6, 7);
    right = right && back.words[0] == 28 && back.words[11] == 77;
    right = right && sum_of(9, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0) == 45.0 && sum_of(0) == 0.0;
    Pair two = pair_of(0x1122334455667788);
    right = right && two.low == 0x1122334455667788 && two.high == ~u64{0x1122334455667788};
    ktap.report(right, "arguments in registers and on the stack, and returned values, are kept");
    ktap.report(value.calls().calls == 1 && floating.calls().calls == 2 && pair.calls().timed == 1,
                "each function has its own counts");
}

void test_recursion(Ktap& ktap) {
    constexpr u64 kDeep = 40;
    Measured measured(at(&recursion));
    bool right = measured.works() && recursion(kDeep) == kDeep * (kDeep + 1) / 2 + 1;
    MeasuredCalls calls = measured.calls();
    Text<200> detail;
    detail_of(detail, calls);
    ktap.report(right && calls.calls == kDeep + 1, "every call of a recursion is counted", detail.view());
    ktap.report(calls.timed == arch::kMaxMeasuredDepth && calls.untimed == kDeep + 1 - arch::kMaxMeasuredDepth,
                "what is too deep is counted and not timed", detail.view());
    ktap.report(kernel::current_task().context.measured.depth == 0, "no record is left");
}

// A later frame over what a measured call has left would make it look alive to the search for references.
[[gnu::noinline]] bool leaves_version_behind() {
    constexpr u64 kReach = 512;  // below this function's frame, more than the way to the version uses
    arch::InterruptsOff off;
    sink = leaf(sink);
    u64 version = reinterpret_cast<u64>(at(&leaf)) + 5;
    bool found = false;
    u64 end = arch::read_rsp();
    for (u64 place = end - kReach; place < end; place += sizeof(u64))
        found = found || *reinterpret_cast<const volatile u64*>(place) == version;
    return found;
}

void test_dead_stack(Ktap& ktap) {
    Measured measured(at(&leaf));
    bool found = leaves_version_behind();
    ktap.report(measured.works() && measured.calls().calls == 1 && !found,
                "the version that was called isn't left on the stack");
}

// Figures of one load; the order of the three holds for any timing.
void test_latency(Ktap& ktap) {
    constexpr u64 kCalls = 2000;
    std::array<MeasuredCalls, 2> found;
    for (usize i = 0; i < found.size(); ++i) {
        Measured measured(at(&spin));
        for (u64 call = 0; call < kCalls; ++call) (void)spin(i == 0 ? 100 : 10000);
        found[i] = measured.calls();
    }
    bool ordered = true;
    for (const MeasuredCalls& calls : found)
        ordered = ordered && calls.timed == kCalls && calls.min_ns <= calls.mean_ns && calls.min_ns <= calls.p99_ns;
    Text<200> detail;
    detail_of(detail, found[1]);
    ktap.report(ordered && found[1].min_ns > found[0].min_ns && found[1].mean_ns > found[0].mean_ns,
                "a hundred times the work takes longer in each figure", detail.view());
    Measured measured(at(&sleeps));
    u64 began = arch::now_ns();
    (void)sleeps(5 * kMillisecond);
    u64 took = arch::now_ns() - began;
    MeasuredCalls calls = measured.calls();
    detail.clear();
    detail_of(detail, calls);
    ktap.report(calls.min_ns >= 4 * kMillisecond, "the time that a task sleeps within the call counts", detail.view());
    // Two clocks of one call: what is measured lies within it. An eighth is more than any rounding and step.
    ktap.report(calls.min_ns <= took + took / 8, "and no more than that", detail.view());
}

// ---- from everywhere at once ----------------------------------------------------------------------------------------

constexpr u64 kCallsEach = 20'000;
constexpr usize kCallers = 12;

struct Callers {
    std::atomic<u64> wrong{0};
    std::atomic<u64> left_records{0};
    std::atomic<bool> may_end{true};  // after kCallsEach; else they go on
};

void call_often(void* argument) {
    auto& callers = *static_cast<Callers*>(argument);
    for (u64 i = 0; i < kCallsEach || !callers.may_end.load(std::memory_order_relaxed); ++i) {
        if (leaf(i) != i * 3 + 1) callers.wrong.fetch_add(1, std::memory_order_relaxed);
        if (i % 64 == 0 && recursion(i % 20) != (i % 20) * (i % 20 + 1) / 2 + 1)
            callers.wrong.fetch_add(1, std::memory_order_relaxed);
        if (i % 1024 == 0) kernel::yield();
    }
    if (kernel::current_task().context.measured.depth != 0)
        callers.left_records.fetch_add(1, std::memory_order_relaxed);
}

std::array<kernel::TaskHandle, kCallers> start_callers(Callers& callers) {
    std::array<kernel::TaskHandle, kCallers> handles;
    for (auto& handle : handles) {
        auto made =
            kernel::create_task(call_often, &callers, {.name = "caller", .priority = kernel::kDefaultPriority / 2});
        if (made) handle = std::move(*made);
    }
    return handles;
}

// The interrupts' own handler is measured meanwhile: its calls come in the middle of everything.
void test_callers(Ktap& ktap) {
    Callers callers;
    Measured measured(at(&leaf));
    Measured handler(at(&graft_upcall_interrupt));
    {
        auto handles = start_callers(callers);
        for (auto& handle : handles) handle.join();
    }
    MeasuredCalls calls = measured.calls();
    MeasuredCalls interrupts = handler.calls();
    Text<200> detail;
    detail_of(detail, calls);
    bool exact = calls.calls == kCallsEach * kCallers && calls.timed + calls.untimed == calls.calls;
    ktap.report(measured.works() && exact && callers.wrong.load() == 0, "calls from all processors are counted exactly",
                detail.view());
    detail.clear();
    detail_of(detail, interrupts);
    ktap.report(handler.works() && interrupts.calls != 0 && callers.left_records.load() == 0,
                "calls of interrupt handlers are measured", detail.view());
}

// Measuring begins and ends dozens of times under the callers' feet.
void test_storm(Ktap& ktap) {
    constexpr u64 kRounds = 50;
    Callers callers;
    callers.may_end.store(false, std::memory_order_relaxed);
    auto handles = start_callers(callers);
    u64 measured = 0;
    bool works = true;
    for (u64 round = 0; round < kRounds; ++round) {
        Measured first(at(&leaf));
        Measured second(at(&recursion));
        works = works && first.works() && second.works();
        kernel::sleep_ns(round % 5 * 100'000);
        measured += first.calls().calls + second.calls().calls;
    }
    callers.may_end.store(true, std::memory_order_relaxed);
    for (auto& handle : handles) handle.join();
    Text<200> detail;
    detail.append("measured ", measured, ", wrong ", callers.wrong.load(), ", records left ",
                  callers.left_records.load());
    ktap.report(works && measured != 0 && callers.wrong.load() == 0 && callers.left_records.load() == 0,
                "measuring begins and ends while tasks call", detail.view());
}

// ---- calls that outlast what measures them --------------------------------------------------------------------------

struct Sleeper {
    std::atomic<u64> returned{0};
    std::atomic<bool> inside{false};
};

[[gnu::noinline, gnu::noclone]] u64 sleeps_inside(Sleeper& sleeper) {
    sleeper.inside.store(true, std::memory_order_release);
    kernel::sleep_ns(50 * kMillisecond);
    return 42;
}

void sleep_inside(void* argument) {
    auto& sleeper = *static_cast<Sleeper*>(argument);
    sleeper.returned.store(sleeps_inside(sleeper), std::memory_order_release);
}

void test_outlasting(Ktap& ktap) {
    Sleeper sleeper;
    kernel::TaskHandle handle;
    {
        Measured measured(at(&sleeps_inside));
        auto made = kernel::create_task(sleep_inside, &sleeper, {.name = "sleeper"});
        if (made) handle = std::move(*made);
        while (!sleeper.inside.load(std::memory_order_acquire)) kernel::sleep_ns(kMillisecond);
    }
    Measured again(at(&sleeps_inside));
    handle.join();
    MeasuredCalls calls = again.calls();
    ktap.report(sleeper.returned.load() == 42, "a call that outlasts its measuring returns to its caller");
    ktap.report(calls.calls == 0 && calls.timed == 0, "and counts in no later one");
}

void exit_inside(void*) {
    exits();
}

void test_exit(Ktap& ktap) {
    Measured measured(at(&exits));
    for (u64 i = 0; i < 20; ++i) {
        auto made = kernel::create_task(exit_inside, nullptr, {.name = "exits"});
        if (made) made->join();
    }
    MeasuredCalls calls = measured.calls();
    ktap.report(calls.calls == 20 && calls.timed == 0, "a task may end inside a measured call");
}

// ---- walks, hooks, faults -------------------------------------------------------------------------------------------

// Whether the walk of the running task is complete, and from here on goes through as many frames as without measuring.
[[gnu::noinline, gnu::noclone]] u64 frames_from_here() {
    arch::InterruptsOff off;
    arch::InterruptFrame frame{};
    frame.rip = reinterpret_cast<u64>(__builtin_return_address(0));
    frame.rsp = reinterpret_cast<u64>(__builtin_frame_address(0)) + 16;
    frame.rbp = *static_cast<u64*>(__builtin_frame_address(0));
    kernel::TaskWalk walk(kernel::current_task(), &frame);
    u64 frames = 0;
    for (arch::Frame found; walk.next(found);) ++frames;
    return walk.complete() ? frames : 0;
}

[[gnu::noinline, gnu::noclone]] u64 walks(u64 depth) {
    u64 frames = depth == 0 ? frames_from_here() : walks(depth - 1);
    sink = frames;
    return frames;
}

void test_walk(Ktap& ktap) {
    u64 plain = walks(5);
    Measured measured(at(&walks));
    u64 through = walks(5);
    u64 deep = walks(30);
    Text<100> detail;
    detail.append("frames ", plain, ", measured ", through, ", deeper ", deep);
    ktap.report(plain != 0 && through == plain && deep == plain + 25, "walks see the original return addresses",
                detail.view());
}

[[gnu::noinline, gnu::noclone]] u64 hooks_itself(u64 value) {
    auto* slot = static_cast<u64*>(__builtin_frame_address(0)) + 1;
    arch::InterruptsOff off;
    sink = arch::install_return_hook(kernel::current_task().context, VirtAddr(slot), true) ? 1 : 0;
    return value + 1;
}

void test_hook(Ktap& ktap) {
    Measured measured(at(&hooks_itself));
    bool right = hooks_itself(5) == 6 && sink == 1 && hooks_itself(6) == 7;
    right = right && kernel::current_task().context.hook.slot == 0;
    ktap.report(right && measured.calls().timed == 2, "a hook on a measured frame fires, and the call is timed");
}

[[gnu::noinline, gnu::noclone]] u64 has_fault(u64 value) {
    arch::InterruptsOff off;
    kernel::note_measured_fault(kernel::current_task());
    return value;
}

// The call's own measuring ends, and another begins, before the fault.
[[gnu::noinline, gnu::noclone]] u64 has_late_fault(std::optional<Measured>& measured) {
    measured.reset();
    measured.emplace(at(&has_late_fault));
    arch::InterruptsOff off;
    kernel::note_measured_fault(kernel::current_task());
    return measured->calls().calls;
}

void test_fault(Ktap& ktap) {
    Measured measured(at(&has_fault));
    (void)has_fault(1);
    kernel::note_measured_fault(kernel::current_task());
    ktap.report(measured.calls().faults == 1, "a fault counts in the call that it is in, and nowhere outside");
    std::optional<Measured> later(std::in_place, at(&has_late_fault));
    (void)has_late_fault(later);
    ktap.report(later->calls().faults == 0, "nor in what measures the function later");
}

// Many functions begin and end with one call each.
void test_batch(Ktap& ktap) {
    const void* functions[] = {at(&leaf), at(&spin), at(&walks)};
    std::array<patch::Dispatch, std::size(functions)> dispatches;
    for (usize i = 0; i < dispatches.size(); ++i) {
        VirtAddr entry(functions[i]);
        dispatches[i] = {entry, {entry + 5, entry + 5}, true};
    }
    auto all = [&](bool wanted) {
        for (const patch::Dispatch& dispatch : dispatches)
            if (machine.measured(dispatch.entry).is_measured != wanted) return false;
        return true;
    };
    bool begun = machine.prepare_measuring(dispatches, Universe::zero, Universe::one).has_value() && all(true);
    machine.stop_measuring(dispatches);
    ktap.report(begun && all(false), "functions are measured and cease to be together");
}

void test_memory(Ktap& ktap, const kernel::HeapStatistics& before) {
    kernel::HeapStatistics after = kernel::records_statistics();
    ktap.report(after.objects == before.objects && after.bytes == before.bytes, "nothing that was counted is left");
}

}  // namespace

}  // namespace graft

void app_main(const graft::kernel::CommandLine&) {
    using namespace graft;
    Ktap ktap(21);
    kernel::HeapStatistics before = kernel::records_statistics();
    test_values(ktap);
    test_dead_stack(ktap);
    test_recursion(ktap);
    test_latency(ktap);
    test_callers(ktap);
    test_storm(ktap);
    test_outlasting(ktap);
    test_exit(ktap);
    test_walk(ktap);
    test_hook(ktap);
    test_fault(ktap);
    test_batch(ktap);
    test_memory(ktap, before);
    ktap.finish();
}
