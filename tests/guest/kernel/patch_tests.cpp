// The kernel's side of patch/machine.h, each promise by itself; what they do together is the torture's.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "arch/x86_64/paging.h"
#include "kernel/clock.h"
#include "kernel/code_map.h"
#include "kernel/memory.h"
#include "kernel/mutex.h"
#include "kernel/patch_machine.h"
#include "kernel/patch_service.h"
#include "kernel/task_list.h"
#include "kernel/task_view.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/ktap.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using arch::PageAccess;
using kernel::PatchMachine;
using patch::Reference;
using patch::Universe;

constexpr u64 kMillisecond = 1'000'000;

PatchMachine machine;

template <typename Condition>
bool eventually(Condition&& condition) {
    u64 end = kernel::now_ns() + 20'000 * kMillisecond;
    while (!condition()) {
        if (kernel::now_ns() > end) return false;
        kernel::sleep_ns(kMillisecond);
    }
    return true;
}

bool is_blocked(const kernel::TaskHandle& task) {
    auto view = kernel::view_task(task.id());
    return view && view->state == kernel::TaskState::blocked;
}

// A running task moves at its interrupt's exit, one whose stack couldn't be believed when it next stops; so the end of
// the sweep isn't always the end of the moves.
bool one_is_left() {
    return eventually([] { return machine.tasks_to_move() == 1; });
}

bool has_access(VirtAddr address, PageAccess access) {
    auto mapping = arch::translate(address);
    return mapping && mapping->access == access;
}

VirtAddr alias_of(VirtAddr address) {
    auto mapping = arch::translate(address);
    return mapping ? arch::direct_map(mapping->physical) : VirtAddr();
}

}  // namespace

// ---- memory ----

const char* patch_memory_has_the_right_access() {
    patch::MachineGuard guard(machine);
    auto before = kernel::page_statistics().free;
    auto memory = machine.reserve({5000, 100, 8192});
    KTAP_CHECK(memory);
    KTAP_CHECK(has_access(memory->text.begin, PageAccess::read_write));
    KTAP_CHECK(memory->text.size() == 8192 && memory->rodata.size() == 4096 && memory->data.size() == 8192);
    VirtAddr text_alias = alias_of(memory->text.begin);
    VirtAddr rodata_alias = alias_of(memory->rodata.begin);
    memory->text.begin.as<u8>()[0] = 0xc3;
    KTAP_CHECK(machine.seal(*memory));
    KTAP_CHECK(has_access(memory->text.begin, PageAccess::read_execute));
    KTAP_CHECK(has_access(VirtAddr(memory->text.end - 1), PageAccess::read_execute));
    KTAP_CHECK(has_access(memory->rodata.begin, PageAccess::read_only));
    KTAP_CHECK(has_access(memory->data.begin, PageAccess::read_write));
    KTAP_CHECK(has_access(text_alias, PageAccess::read_only));
    KTAP_CHECK(has_access(rodata_alias, PageAccess::read_only));
    memory->text.begin.as<void()>()();
    machine.release_memory(*memory);
    KTAP_CHECK(!arch::translate(memory->text.begin));
    KTAP_CHECK(!arch::translate(memory->data.begin));
    KTAP_CHECK(has_access(text_alias, PageAccess::read_write));
    // Tables that the split of large pages needed stay.
    KTAP_CHECK(before - kernel::page_statistics().free < 16);
    return nullptr;
}

const char* released_patch_addresses_stay_away() {
    patch::MachineGuard guard(machine);
    auto first = machine.reserve({4096, 0, 0});
    KTAP_CHECK(first);
    AddressRange old = first->text;
    machine.release_memory(*first);
    for (u32 i = 0; i < 100; ++i) {
        auto next = machine.reserve({3 << 20, 0, 0});
        KTAP_CHECK(next);
        bool overlaps = next->text.overlaps(old);
        machine.release_memory(*next);
        KTAP_CHECK(!overlaps);
        KTAP_CHECK(!arch::translate(old.begin));
    }
    return nullptr;
}

// ---- the image ----

namespace {

kernel::Semaphore linger_gate;

// The changing function of these tests.
[[gnu::noinline]] void linger() {
    linger_gate.wait();
    asm volatile("");
}

VirtAddr entry_of(void (*function)()) {
    return VirtAddr(reinterpret_cast<u64>(function));
}

}  // namespace

const char* image_functions_are_known() {
    auto info = machine.function_at(VirtAddr(reinterpret_cast<u64>(&image_functions_are_known)));
    KTAP_CHECK(info);
    KTAP_CHECK(info->name == "_ZN5graft5tests25image_functions_are_knownEv");
    KTAP_CHECK(info->patchability == patch::Patchability::patchable);
    KTAP_CHECK(info->has_return && info->range_count == 1 && info->ranges[0].begin == info->entry);
    KTAP_CHECK(machine.has_symbol(info->name, info->entry));
    KTAP_CHECK(!machine.has_symbol(info->name, VirtAddr(info->entry + 1)));
    KTAP_CHECK(machine.find_global(info->name) == info->entry);
    KTAP_CHECK(!machine.find_global("no_such_name"));
    KTAP_CHECK(!machine.function_at(VirtAddr(info->entry + 1)));
    auto hidden = machine.function_at(entry_of(linger));
    KTAP_CHECK(hidden && !machine.find_global(hidden->name));
    auto permanent = machine.function_at(VirtAddr(reinterpret_cast<u64>(&arch::graft_switch_context)));
    KTAP_CHECK(permanent && permanent->patchability != patch::Patchability::patchable);
    return nullptr;
}

const char* image_is_read_without_live_sites() {
    patch::MachineGuard guard(machine);
    VirtAddr entry = entry_of(linger);
    std::array<std::byte, 16> before{};
    std::array<std::byte, 16> during{};
    KTAP_CHECK(machine.read_image(entry, before));
    // Nobody calls it meanwhile.
    const patch::SiteChange live[] = {{entry, VirtAddr(reinterpret_cast<u64>(&references_are_found))}};
    KTAP_CHECK(machine.write_sites(live));
    bool was_live = *entry.as<const volatile u8>() == 0xe9;
    KTAP_CHECK(machine.read_image(entry, during));
    std::array<std::byte, 3> middle{};
    KTAP_CHECK(machine.read_image(VirtAddr(entry + 3), middle));
    const patch::SiteChange settled[] = {{entry, VirtAddr()}};
    KTAP_CHECK(machine.write_sites(settled));
    KTAP_CHECK(was_live);
    KTAP_CHECK(before == during);
    KTAP_CHECK(middle[0] == before[3] && middle[2] == before[5]);
    KTAP_CHECK(*entry.as<const volatile u8>() == 0x0f);
    const patch::SiteChange wrong[] = {{VirtAddr(entry + 1), VirtAddr()}};
    auto refused = machine.write_sites(wrong);
    KTAP_CHECK(!refused && refused.error().failure == patch::MachineFailure::site_mismatch);
    KTAP_CHECK(!machine.read_image(VirtAddr(u64{0x1000}), before));
    return nullptr;
}

// ---- transitions ----

namespace {

// Everything in `changing` counts as changing; like the core's, without the core.
class RangeExaminer final : public patch::Examiner {
public:
    explicit RangeExaminer(AddressRange changing) : changing_(changing) {}

    patch::Verdict examine(patch::Stack& stack) const override {
        patch::Verdict verdict;
        verdict.kind = patch::Verdict::Kind::clear;
        patch::Frame frame;
        while (stack.next(frame)) {
            if (!changing_.contains(frame.lookup_pc)) continue;
            verdict.kind = patch::Verdict::Kind::inside;
            verdict.hook_slot = frame.return_slot;
        }
        if (!stack.reliable()) verdict.kind = patch::Verdict::Kind::unreliable;
        return verdict;
    }

private:
    AddressRange changing_;
};

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

Universe target_of_next() {
    return patch::other(static_cast<Universe>(own_patch_state()));
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

// A loop never returns, so what can be patched is what it calls: it has nothing else.
const char* loops_call_one_function_a_round() {
    constexpr u64 kLargestLoop = 64;
    const formats::ImageTables& tables = kernel::image_tables();
    u32 loops = 0;
    for (u32 i = 0; i < tables.symbol_count(); ++i) {
        formats::ImageSymbol symbol = tables.symbol(i);
        if (symbol.type != formats::SymbolType::function || symbol.has(formats::kSymbolHasReturn)) continue;
        if (tables.display_name(symbol).find("_loop(") == std::string_view::npos) continue;
        ++loops;
        if (tables.range(symbol).size() > kLargestLoop) return "a loop does more than to call its round";
    }
    KTAP_CHECK(loops >= 5);
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

// ---- references ----

namespace {

class Found final : public patch::ReferenceSink {
public:
    void found(const Reference& reference) override {
        ++counts[static_cast<usize>(reference.kind)];
        ++total;
        last = reference;
    }
    u32 of(Reference::Kind kind) const { return counts[static_cast<usize>(kind)]; }

    std::array<u32, 8> counts{};
    u32 total = 0;
    Reference last;
};

Found search(AddressRange range) {
    Found found;
    const AddressRange ranges[] = {range};
    machine.find_references(ranges, found);
    return found;
}

volatile u64 word_in_data = 0;
constexpr u64 kMask = 0x5555'5555'5555'5555;  // keeps the address out of where it isn't meant to be

struct Keeper {
    u64 masked = 0;
    kernel::Semaphore gate;
    std::atomic<bool> ready{false};
};

[[gnu::noinline]] void keep_on_stack(Keeper& keeper) {
    volatile u64 word = keeper.masked ^ kMask;
    keeper.ready.store(true, std::memory_order_release);  // pairs with eventually() in the tests
    keeper.gate.wait();
    word = 0;
    (void)word;
}

void stack_keeper(void* argument) {
    keep_on_stack(*static_cast<Keeper*>(argument));
}

// The address is in an SSE register and nowhere else.
void register_keeper(void* argument) {
    auto& keeper = *static_cast<Keeper*>(argument);
    u64 masked = keeper.masked;
    u64 mask = kMask;
    asm volatile(
        "xorq %[mask], %[word]\n\t"
        "movq %[word], %%xmm7\n\t"
        "xorl %k[word], %k[word]\n\t"
        "movb $1, %[ready]\n\t"
        "1: pause\n\t"
        "cmpb $0, %[ready]\n\t"
        "jne 1b\n\t"
        "pxor %%xmm7, %%xmm7"
        : [word] "+r"(masked), [ready] "+m"(keeper.ready)
        : [mask] "r"(mask)
        : "xmm7", "memory", "cc");
}

bool is_ready(Keeper& keeper) {
    return eventually([&] { return keeper.ready.load(std::memory_order_acquire); });
}

}  // namespace

const char* references_are_found() {
    patch::MachineGuard guard(machine);
    auto memory = machine.reserve({4096, 0, 4096});
    KTAP_CHECK(memory);
    KTAP_CHECK(machine.seal(*memory));
    AddressRange range = memory->text;
    KTAP_CHECK(search(range).total == 0);

    word_in_data = range.begin.value + 8;
    Found in_data = search(range);
    word_in_data = range.end.value;  // just past it
    Found past = search(range);
    word_in_data = 0;

    auto* object = static_cast<u64*>(kernel::heap_allocate(48));
    object[3] = range.begin.value;
    Found in_heap = search(range);
    kernel::heap_release(object);
    Found in_freed = search(range);

    auto* record = static_cast<u64*>(machine.allocate(64, 16));
    record[1] = range.begin.value;
    Found in_records = search(range);
    record[1] = 0;
    machine.release(record, 64);

    // Words in patches' data are told, also in that of the patch itself: the registry knows whose they are.
    *memory->data.begin.as<u64>() = range.begin.value;
    const AddressRange whole[] = {memory->text, memory->data};
    Found own_data;
    machine.find_references(whole, own_data);
    Found other_data = search(range);
    *memory->data.begin.as<u64>() = 0;
    machine.release_memory(*memory);

    KTAP_CHECK(in_data.total == 1 && in_data.of(Reference::Kind::data) == 1);
    KTAP_CHECK(in_data.last.word == range.begin.value + 8);
    KTAP_CHECK(past.total == 0);
    KTAP_CHECK(in_heap.total == 1 && in_heap.of(Reference::Kind::heap) == 1);
    KTAP_CHECK(in_freed.total == 0);
    KTAP_CHECK(in_records.total == 0);
    KTAP_CHECK(own_data.total == 1 && own_data.of(Reference::Kind::patch_data) == 1);
    KTAP_CHECK(other_data.total == 1 && other_data.of(Reference::Kind::patch_data) == 1);
    return nullptr;
}

const char* references_of_tasks_are_found() {
    patch::MachineGuard guard(machine);
    auto memory = machine.reserve({4096, 0, 0});
    KTAP_CHECK(memory);
    AddressRange range = memory->text;

    Keeper on_stack;
    on_stack.masked = (range.begin.value + 16) ^ kMask;
    auto sleeper = kernel::create_task(stack_keeper, &on_stack, {});
    KTAP_CHECK(sleeper && is_ready(on_stack));
    KTAP_CHECK(eventually([&] { return is_blocked(*sleeper); }));
    Found found = search(range);
    u64 sleeper_id = sleeper->id();
    on_stack.gate.post();
    sleeper->join();

    Found in_register;
    bool ran_elsewhere = kernel::processor_count() > 1;
    if (ran_elsewhere) {
        Keeper in_sse;
        in_sse.masked = range.begin.value ^ kMask;
        auto spinner = kernel::create_task(register_keeper, &in_sse, {});
        KTAP_CHECK(spinner && is_ready(in_sse));
        in_register = search(range);
        in_sse.ready.store(false, std::memory_order_release);
        spinner->join();
    }
    Found after = search(range);
    machine.release_memory(*memory);

    KTAP_CHECK(found.of(Reference::Kind::stack) >= 1);
    KTAP_CHECK(found.last.owner == sleeper_id);
    KTAP_CHECK(!ran_elsewhere || in_register.total == 1);
    KTAP_CHECK(after.total == 0);
    return nullptr;
}

}  // namespace graft::tests
