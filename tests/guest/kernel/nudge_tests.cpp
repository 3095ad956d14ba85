// Nudges: which task returns from its wait, which doesn't, and that none is interrupted later on.

#include <atomic>

#include "kernel/clock.h"
#include "kernel/mutex.h"
#include "kernel/nudge.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/patch_support.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using kernel::Interruptible;
using kernel::NudgeFailure;
using kernel::WaitResult;

struct Waiter {
    explicit Waiter(Interruptible wanted) : interruptible(wanted) {}

    Interruptible interruptible;
    kernel::Semaphore inside;
    kernel::Semaphore outside;
    std::atomic<u32> interruptions{0};
    std::atomic<u32> later_interruptions{0};
};

// The changing function.
[[gnu::noinline]] void wait_inside(Waiter& waiter) {
    WaitResult result = waiter.inside.wait(kernel::kNever, waiter.interruptible);
    if (result == WaitResult::interrupted) waiter.interruptions.fetch_add(1, std::memory_order_relaxed);
}

// A wait behind it that nobody means to interrupt.
void waiting_task(void* argument) {
    auto& waiter = *static_cast<Waiter*>(argument);
    wait_inside(waiter);
    WaitResult result = waiter.outside.wait(kernel::kNever, Interruptible::yes);
    if (result == WaitResult::interrupted) waiter.later_interruptions.fetch_add(1, std::memory_order_relaxed);
}

bool fails_with(u64 task, NudgeFailure failure) {
    auto nudged = kernel::nudge_task(task);
    return !nudged && nudged.error() == failure;
}

// Runs a transition with one task inside; `act` is called while it holds.
template <typename Act>
const char* with_holder(Waiter& waiter, Act&& act) {
    auto info = machine.function_at(VirtAddr(reinterpret_cast<u64>(&wait_inside)));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    auto task = kernel::create_task(waiting_task, &waiter, {});
    KTAP_CHECK(task && eventually([&] { return is_blocked(*task); }));
    KTAP_CHECK(fails_with(task->id(), NudgeFailure::no_transition));
    const char* wrong = nullptr;
    {
        patch::MachineGuard guard(machine);
        machine.begin_transition(examiner, target_of_next());
        machine.sweep();
        wrong = eventually([] { return machine.tasks_to_move() == 1; }) ? act(*task) : "nobody holds the transition";
        waiter.inside.post();
        if (!eventually([] { return machine.tasks_to_move() == 0; })) wrong = "the transition doesn't end";
        machine.end_transition();
    }
    if (!eventually([&] { return is_blocked(*task); })) wrong = "the later wait doesn't begin or is interrupted";
    waiter.outside.post();
    task->join();
    return wrong;
}

const char* nudge_once() {
    Waiter waiter(Interruptible::yes);
    const char* wrong = with_holder(waiter, [&](kernel::TaskHandle& task) -> const char* {
        KTAP_CHECK(kernel::nudge_task(task.id()));
        KTAP_CHECK(eventually([] { return machine.tasks_to_move() == 0; }));
        // It waits again, outside, where it holds nothing.
        KTAP_CHECK(fails_with(task.id(), NudgeFailure::not_holding));
        return nullptr;
    });
    if (wrong) return wrong;
    KTAP_CHECK(waiter.interruptions.load() == 1 && waiter.later_interruptions.load() == 0);
    return nullptr;
}

const char* leave_uninterruptible() {
    Waiter waiter(Interruptible::no);
    const char* wrong = with_holder(waiter, [&](kernel::TaskHandle& task) -> const char* {
        KTAP_CHECK(fails_with(task.id(), NudgeFailure::not_interruptible));
        KTAP_CHECK(fails_with(kernel::current_task().id, NudgeFailure::not_holding));
        KTAP_CHECK(fails_with(~u64{0}, NudgeFailure::no_task));
        KTAP_CHECK(kernel::nudge_holders() == 0);
        KTAP_CHECK(machine.tasks_to_move() == 1);
        return nullptr;
    });
    if (wrong) return wrong;
    KTAP_CHECK(waiter.interruptions.load() == 0 && waiter.later_interruptions.load() == 0);
    return nullptr;
}

const char* nudge_by_itself() {
    constexpr u64 kGrace = 100 * kMillisecond;
    Waiter waiter(Interruptible::yes);
    const char* wrong = with_holder(waiter, [&](kernel::TaskHandle&) -> const char* {
        u64 begin = kernel::now_ns();
        machine.nudge_each(kGrace);
        KTAP_CHECK(eventually([] { return machine.tasks_to_move() == 0; }));
        KTAP_CHECK(kernel::now_ns() - begin >= kGrace);
        return nullptr;
    });
    if (wrong) return wrong;
    // Nothing is nudged once the transition has ended.
    kernel::sleep_ns(3 * kGrace);
    KTAP_CHECK(waiter.interruptions.load() == 1 && waiter.later_interruptions.load() == 0);
    return nullptr;
}

struct Races {
    static constexpr u32 kRounds = 400;

    kernel::Semaphore gate;
    kernel::Semaphore quiet;
    std::atomic<u32> interruptions{0};
    std::atomic<u32> late{0};
    std::atomic<u32> rounds{0};
};

// The wait inside is woken and nudged at about the same moment; the quiet one behind it must hear of neither.
[[gnu::noinline]] void race_inside(Races& races) {
    for (u32 i = 0; i < Races::kRounds; ++i) {
        if (races.gate.wait(kernel::kNever, Interruptible::yes) == WaitResult::interrupted)
            races.interruptions.fetch_add(1, std::memory_order_relaxed);
        races.rounds.fetch_add(1, std::memory_order_relaxed);
    }
}

void racing_task(void* argument) {
    auto& races = *static_cast<Races*>(argument);
    race_inside(races);
    if (races.quiet.wait(kernel::now_ns() + 50 * kMillisecond, Interruptible::yes) == WaitResult::interrupted)
        races.late.fetch_add(1, std::memory_order_relaxed);
}

const char* race_once() {
    auto info = machine.function_at(VirtAddr(reinterpret_cast<u64>(&race_inside)));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    Races races;
    auto task = kernel::create_task(racing_task, &races, {});
    KTAP_CHECK(task);
    bool ended = false;
    {
        patch::MachineGuard guard(machine);
        machine.begin_transition(examiner, target_of_next());
        machine.sweep();
        while (races.rounds.load(std::memory_order_relaxed) < Races::kRounds) {
            (void)kernel::nudge_task(task->id()).has_value();
            races.gate.post();
        }
        ended = eventually([] { return machine.tasks_to_move() == 0; });
        machine.end_transition();
    }
    task->join();
    KTAP_CHECK(ended);
    KTAP_CHECK(races.late.load() == 0);
    return nullptr;
}

// A registry counts on where tasks were: each transition is made there and back.
template <const char* (*Test)()>
const char* twice() {
    if (const char* wrong = Test()) return wrong;
    return Test();
}

}  // namespace

const char* nudged_task_returns_and_moves() {
    return twice<nudge_once>();
}
const char* nudge_is_refused_where_it_can_t_be() {
    return twice<leave_uninterruptible>();
}
const char* nudges_come_after_the_grace_time() {
    return twice<nudge_by_itself>();
}
const char* nudge_is_for_one_wait() {
    return twice<race_once>();
}

}  // namespace graft::tests
