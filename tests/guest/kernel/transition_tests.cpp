// The kernel's side of transitions: who moves by which means, who is hooked, who is born and who exits meanwhile.

#include <atomic>
#include <optional>

#include "kernel/clock.h"
#include "kernel/code_map.h"
#include "kernel/mutex.h"
#include "kernel/patch_service.h"
#include "kernel/task_list.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/patch_support.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using patch::Universe;

kernel::Semaphore linger_gate;

// The changing function of these tests.
[[gnu::noinline]] void linger() {
    linger_gate.wait();
    asm volatile("");
}

// A running task moves at its interrupt's exit, one whose stack couldn't be believed when it next stops; so the end of
// the sweep isn't always the end of the moves.
bool one_is_left() {
    return eventually([] { return machine.tasks_to_move() == 1; });
}

class CountBlocking final : public kernel::BlockingSink {
public:
    void blocking(const kernel::BlockingView& view) override {
        ++count;
        last = view;
    }
    u32 count = 0;
    kernel::BlockingView last;
};

class CountSurvey final : public patch::SurveySink {
public:
    void not_clear(u64 task, patch::Verdict::Kind) override {
        ++count;
        last = task;
    }
    u32 count = 0;
    u64 last = 0;
};

std::atomic<bool> lingering{false};
std::atomic<bool> stop_looping{false};

void lingering_task(void*) {
    lingering.store(true, std::memory_order_relaxed);
    linger();
}

[[gnu::noinline]] void spin() {
    while (!stop_looping.load(std::memory_order_relaxed)) arch::pause();
}

void endless_task(void*) {
    spin();
}

u8 own_patch_state() {
    return kernel::current_task().context.patch_state;
}

u64 moved_by(patch::MoveCause cause) {
    return machine.moves()[static_cast<usize>(cause)];
}

// From begin to end; `hold` decides what happens while one task is inside.
template <typename Hold>
const char* run_transition(Hold&& hold) {
    auto info = machine.function_at(entry_of(linger));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    lingering.store(false, std::memory_order_relaxed);
    auto sleeper = kernel::create_task(lingering_task, nullptr, {});
    KTAP_CHECK(sleeper);
    KTAP_CHECK(eventually([&] { return lingering.load(std::memory_order_relaxed) && is_blocked(*sleeper); }));
    patch::MachineGuard guard(machine);
    Universe target = target_of_next();
    machine.begin_transition(examiner, target);
    machine.sweep();
    const char* wrong = hold(target, *sleeper);
    linger_gate.post();
    bool ended = eventually([] { return machine.tasks_to_move() == 0; });
    if (!ended) return "the transition doesn't end";
    bool hooked = moved_by(patch::MoveCause::hook) >= 1;
    machine.end_transition();
    sleeper->join();
    if (wrong) return wrong;
    KTAP_CHECK(hooked);
    return nullptr;
}

const char* look_at_holder(Universe target, kernel::TaskHandle& sleeper) {
    KTAP_CHECK(one_is_left());
    KTAP_CHECK(own_patch_state() == static_cast<u8>(target));
    KTAP_CHECK(moved_by(patch::MoveCause::walk) > 3);
    KTAP_CHECK(moved_by(patch::MoveCause::interrupt) >= 1);
    CountBlocking blocking;
    kernel::view_blocking(blocking);
    KTAP_CHECK(blocking.count == 1);
    KTAP_CHECK(blocking.last.id == sleeper.id());
    KTAP_CHECK(!blocking.last.unreliable && blocking.last.since_ns != 0);
    auto info = machine.function_at(entry_of(linger));
    KTAP_CHECK(info->ranges[0].contains(blocking.last.pc));
    // The hooked stack can still be walked, and shows what it would without the hook.
    auto stack = kernel::view_stack(sleeper.id());
    KTAP_CHECK(stack && stack->reliable);
    return nullptr;
}

}  // namespace

const char* transition_hooks_who_is_inside() {
    if (const char* wrong = run_transition(look_at_holder)) return wrong;
    return run_transition(look_at_holder);  // and back: the registry counts on where it was
}

const char* transition_reaches_a_task_that_never_sleeps() {
    stop_looping.store(false, std::memory_order_relaxed);
    kernel::TaskOptions options;
    options.priority = 4;
    auto looping = kernel::create_task(endless_task, nullptr, options);
    KTAP_CHECK(looping);
    kernel::sleep_ns(20 * kMillisecond);
    auto nothing = [](Universe, kernel::TaskHandle&) -> const char* {
        KTAP_CHECK(one_is_left());
        return nullptr;
    };
    const char* wrong = run_transition(nothing);
    if (!wrong) wrong = run_transition(nothing);
    stop_looping.store(true, std::memory_order_relaxed);
    looping->join();
    return wrong;
}

const char* transition_is_turned_round() {
    auto turn_twice = [](Universe target, kernel::TaskHandle& sleeper) -> const char* {
        KTAP_CHECK(one_is_left());
        KTAP_CHECK(sleeper.task().context.hook.slot != 0);
        machine.turn_transition(patch::other(target));
        machine.sweep();
        // The holder never left the side that is the target now, so nobody is left.
        KTAP_CHECK(eventually([] { return machine.tasks_to_move() == 0; }));
        KTAP_CHECK(own_patch_state() == static_cast<u8>(patch::other(target)));
        KTAP_CHECK(sleeper.task().context.hook.slot == 0);
        machine.turn_transition(target);
        machine.sweep();
        KTAP_CHECK(one_is_left());
        return nullptr;
    };
    if (const char* wrong = run_transition(turn_twice)) return wrong;
    return run_transition(turn_twice);
}

namespace {

// Doesn't believe the first stacks with a frame in `doubted`; changes nothing.
class DoubtingExaminer final : public patch::Examiner {
public:
    explicit DoubtingExaminer(AddressRange doubted) : doubted_(doubted) {}

    patch::Verdict examine(patch::Stack& stack) const override {
        bool is_doubted = false;
        patch::Frame frame;
        while (stack.next(frame)) is_doubted |= doubted_.contains(frame.lookup_pc);
        if (!stack.reliable()) return {patch::Verdict::Kind::unreliable, {}};
        if (is_doubted && doubts_.fetch_add(1, std::memory_order_relaxed) < kDoubts) {
            return {patch::Verdict::Kind::unreliable, {}};
        }
        return {patch::Verdict::Kind::clear, {}};
    }

private:
    static constexpr u32 kDoubts = 3;

    AddressRange doubted_;
    mutable std::atomic<u32> doubts_{0};
};

// The task never stops by itself, so its processor's timer has it examined.
const char* examine_again() {
    auto info = machine.function_at(entry_of(spin));
    KTAP_CHECK(info);
    DoubtingExaminer examiner(info->ranges[0]);
    patch::MachineGuard guard(machine);
    machine.begin_transition(examiner, target_of_next());
    machine.sweep();
    bool ended = eventually([] { return machine.tasks_to_move() == 0; });
    machine.end_transition();
    return ended ? nullptr : "a task whose stack wasn't believed isn't examined again";
}

}  // namespace

const char* disbelieved_stacks_are_examined_again() {
    stop_looping.store(false, std::memory_order_relaxed);
    kernel::TaskOptions options;
    options.priority = 4;
    auto looping = kernel::create_task(endless_task, nullptr, options);
    KTAP_CHECK(looping);
    kernel::sleep_ns(20 * kMillisecond);
    const char* wrong = examine_again();
    if (!wrong) wrong = examine_again();
    stop_looping.store(true, std::memory_order_relaxed);
    looping->join();
    return wrong;
}

const char* new_tasks_are_born_moved() {
    auto bear = [](Universe target, kernel::TaskHandle&) -> const char* {
        // Made by a task that has moved: born on that side.
        u8 state = 2;
        auto child =
            kernel::create_task([](void* argument) { *static_cast<u8*>(argument) = own_patch_state(); }, &state, {});
        KTAP_CHECK(child);
        child->join();
        KTAP_CHECK(state == static_cast<u8>(target));
        KTAP_CHECK(one_is_left());
        return nullptr;
    };
    if (const char* wrong = run_transition(bear)) return wrong;
    return run_transition(bear);
}

namespace {

[[gnu::noinline]] void exit_from_inside() {
    linger_gate.wait();
    kernel::exit_task();
}

void exiting_task(void*) {
    lingering.store(true, std::memory_order_relaxed);
    exit_from_inside();
}

class WorkerView final : public kernel::TaskSink {
public:
    void task(const kernel::TaskView& view) override {
        if (view.name_view() == "patch-worker") worker = view;
    }
    kernel::TaskView worker;
};

kernel::TaskView worker_view() {
    WorkerView view;
    kernel::view_tasks(view);
    return view.worker;
}

const char* exit_inside() {
    auto info = machine.function_at(entry_of(exit_from_inside));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    lingering.store(false, std::memory_order_relaxed);
    auto exiting = kernel::create_task(exiting_task, nullptr, {});
    KTAP_CHECK(exiting);
    KTAP_CHECK(eventually([&] { return lingering.load(std::memory_order_relaxed) && is_blocked(*exiting); }));
    patch::MachineGuard guard(machine);
    machine.begin_transition(examiner, target_of_next());
    machine.sweep();
    bool is_held = one_is_left() && exiting->task().context.hook.slot != 0;
    is_held = is_held && eventually([] { return worker_view().state == kernel::TaskState::blocked; });
    u64 rounds = worker_view().switches;
    linger_gate.post();
    bool ended = eventually([] { return machine.tasks_to_move() == 0; });
    if (!ended) return "the transition doesn't end";
    bool was_told = eventually([&] { return worker_view().switches > rounds; });
    bool counted = moved_by(patch::MoveCause::exit) == 1;
    machine.end_transition();
    exiting->join();
    KTAP_CHECK(is_held && counted && was_told);
    // The stack is somebody else's by now, and the return address would look like a reference.
    KTAP_CHECK(exiting->task().context.hook.slot == 0 && exiting->task().context.hook.original == 0);
    return nullptr;
}

std::optional<formats::ImageSymbol> function_shown_as(std::string_view part) {
    const formats::ImageTables& tables = kernel::image_tables();
    for (u32 i = 0; i < tables.symbol_count(); ++i) {
        formats::ImageSymbol symbol = tables.symbol(i);
        if (symbol.type != formats::SymbolType::function) continue;
        if (tables.display_name(symbol).find(part) != std::string_view::npos) return symbol;
    }
    return std::nullopt;
}

// The worker waits inside its round for the last move, which is its own.
const char* move_worker() {
    auto round = function_shown_as("::worker_round(");
    KTAP_CHECK(round);
    RangeExaminer examiner(kernel::image_tables().range(*round));
    patch::MachineGuard guard(machine);
    machine.begin_transition(examiner, target_of_next());
    machine.sweep();
    bool ended = eventually([] { return machine.tasks_to_move() == 0; });
    machine.end_transition();
    return ended ? nullptr : "the worker doesn't move";
}

}  // namespace

const char* who_exits_inside_holds_nothing() {
    if (const char* wrong = exit_inside()) return wrong;
    return exit_inside();  // and back: the registry counts on where it was
}

const char* patch_worker_moves_from_inside() {
    if (const char* wrong = move_worker()) return wrong;
    return move_worker();
}

// A function that never returns couldn't be replaced: a task is always inside.
const char* services_return_from_each_round() {
    const formats::ImageTables& tables = kernel::image_tables();
    u32 services = 0;
    for (kernel::TaskRef task = kernel::next_task({}); task; task = kernel::next_task(std::move(task))) {
        if (!task->repeats) continue;
        ++services;
        auto index = tables.function_at_entry(VirtAddr(reinterpret_cast<u64>(task->function)));
        KTAP_CHECK(index);
        KTAP_CHECK(tables.symbol(*index).has(formats::kSymbolHasReturn));
    }
    KTAP_CHECK(services >= 7);
    return nullptr;
}

namespace {

struct Birth {
    kernel::Semaphore begin;
    kernel::Semaphore end;
    std::atomic<bool> is_done{false};
    kernel::TaskHandle child;
};

constinit Birth* birth = nullptr;

kernel::TaskOptions less_urgent(u8 priority) {
    kernel::TaskOptions options;
    options.priority = priority;
    options.processors = 1;
    return options;
}

// The changing function: a task is made from inside it.
[[gnu::noinline]] void bear_inside() {
    birth->begin.wait();
    auto child = kernel::create_task([](void*) {}, nullptr, less_urgent(2));
    if (child) birth->child = std::move(*child);
    birth->is_done.store(true, std::memory_order_release);
    birth->end.wait();
}

const char* bear_and_move() {
    auto info = machine.function_at(entry_of(bear_inside));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    Birth own;
    birth = &own;
    auto parent = kernel::create_task([](void*) { bear_inside(); }, nullptr, {});
    KTAP_CHECK(parent);
    KTAP_CHECK(eventually([&] { return is_blocked(*parent); }));
    patch::MachineGuard guard(machine);
    machine.begin_transition(examiner, target_of_next());
    machine.sweep();
    bool is_held = one_is_left();
    own.begin.post();
    bool is_born = eventually([&] { return own.is_done.load(std::memory_order_acquire) && is_blocked(*parent); });
    u64 left = machine.tasks_to_move();
    own.end.post();
    bool ended = eventually([] { return machine.tasks_to_move() == 0; });
    stop_looping.store(true, std::memory_order_relaxed);
    if (!ended) (void)eventually([] { return machine.tasks_to_move() == 0; });
    machine.end_transition();
    parent->join();
    if (own.child) own.child.join();
    KTAP_CHECK(is_held && is_born && ended);
    KTAP_CHECK(left == 1);
    return nullptr;
}

}  // namespace

// A more urgent task keeps the new one from its processor.
const char* new_tasks_move_without_running() {
    for (u32 i = 0; i < 2; ++i) {
        stop_looping.store(false, std::memory_order_relaxed);
        auto looping = kernel::create_task(endless_task, nullptr, less_urgent(8));
        KTAP_CHECK(looping);
        const char* wrong = bear_and_move();
        stop_looping.store(true, std::memory_order_relaxed);
        looping->join();
        if (wrong) return wrong;
    }
    return nullptr;
}

const char* survey_changes_nothing() {
    auto info = machine.function_at(entry_of(linger));
    KTAP_CHECK(info);
    RangeExaminer examiner(info->ranges[0]);
    lingering.store(false, std::memory_order_relaxed);
    auto sleeper = kernel::create_task(lingering_task, nullptr, {});
    KTAP_CHECK(sleeper);
    KTAP_CHECK(eventually([&] { return lingering.load(std::memory_order_relaxed) && is_blocked(*sleeper); }));
    CountSurvey survey;
    {
        patch::MachineGuard guard(machine);
        machine.survey(examiner, survey);
    }
    linger_gate.post();
    u64 id = sleeper->id();
    sleeper->join();
    KTAP_CHECK(survey.count == 1 && survey.last == id);
    return nullptr;
}

}  // namespace graft::tests
