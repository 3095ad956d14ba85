#include "tests/guest/torture/workload.h"

#include <array>
#include <string_view>

#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "base/text.h"
#include "kernel/console.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "kernel/wait_queue.h"
#include "tests/guest/shared/births.h"
#include "tests/guest/shared/random.h"
#include "tests/guest/torture/changing.h"

namespace graft::torture {

Totals g_totals;

namespace {

using tests::next_random;

constexpr u8 kDepth = 12;
constexpr u64 kGateBoundNs = 20'000'000;  // whoever waits at the gate goes on by itself then

enum class Kind : u8 { busy, sleeper, inside, cold, thunk, deep, midwife };

struct KindOfWorker {
    Kind kind;
    std::string_view name;
    usize count;
    u8 priority;
};
constexpr KindOfWorker kKinds[] = {
    {Kind::busy, "busy", 4, kernel::kDefaultPriority - 4},   {Kind::sleeper, "sleeper", 6, kernel::kDefaultPriority},
    {Kind::inside, "inside", 6, kernel::kDefaultPriority},   {Kind::cold, "cold", 3, kernel::kDefaultPriority},
    {Kind::thunk, "thunk", 3, kernel::kDefaultPriority},     {Kind::deep, "deep", 3, kernel::kDefaultPriority},
    {Kind::midwife, "midwife", 1, kernel::kDefaultPriority},
};

struct Worker {
    Kind kind = Kind::busy;
    u64 random = 0;
    std::atomic<u64> rounds{0};  // finished
    u64 mark = 0;
    kernel::Task* task = nullptr;
    kernel::TaskHandle handle;
    Both both;
};

std::array<Worker, kLastingTasks> g_workers;
std::atomic<bool> g_stop{false};
tests::Births g_births;
kernel::SpinLock g_gate_lock{kernel::LockRank::wait};
kernel::WaitQueue g_gate;

void wait_at_gate() {
    kernel::SpinGuard<kernel::IrqSave> guard(g_gate_lock);
    (void)g_gate.wait(guard, arch::now_ns() + kGateBoundNs);
}

// What both versions compute alike.
u64 expected_value(const Round& round) {
    return 2 * 3 + (round.depth != 0 ? round.depth + 1u : 0u) + 5 + 7;
}

void make_round(Round& round, Touchable& touchable) {
    u64 expected = expected_value(round);
    u64 value = round_trip(round, touchable);
    if (value != expected) g_totals.wrong.fetch_add(1, std::memory_order_relaxed);
    if (round.seen != kOldSide && round.seen != kNewSide) g_totals.mixed.fetch_add(1, std::memory_order_relaxed);
    g_totals.rounds.fetch_add(1, std::memory_order_relaxed);
}

Linger some_wait(u64 random) {
    constexpr Linger kChoices[] = {Linger::sleep, Linger::gate, Linger::yield, Linger::spin};
    return kChoices[random % 4];
}

Round plan_round(Worker& worker) {
    Round round;
    round.random = next_random(worker.random);
    u64 choice = round.random >> 8;
    switch (worker.kind) {
        case Kind::busy:
            round.in_first = (choice & 1) != 0 ? Linger::spin : Linger::none;
            round.in_second = (choice & 2) != 0 ? Linger::spin : Linger::none;
            round.depth = (choice & 4) != 0 ? 3 : 0;
            break;
        case Kind::sleeper:
            round.in_second = (choice & 3) == 0 ? Linger::yield : Linger::none;
            break;
        case Kind::inside:
            round.in_first = some_wait(choice);
            round.in_second = some_wait(choice >> 2);
            round.give_birth = (choice & 0xf0) == 0;
            break;
        case Kind::cold:
            round.fail = true;
            break;
        case Kind::thunk:
            round.in_touch = some_wait(choice);
            break;
        case Kind::deep:
            round.depth = kDepth;
            round.in_depth = some_wait(choice);
            break;
        case Kind::midwife:
            round.give_birth = true;
            break;
    }
    return round;
}

void work(void* argument) {
    auto& worker = *static_cast<Worker*>(argument);
    while (!g_stop.load(std::memory_order_acquire)) {
        Round round = plan_round(worker);
        make_round(round, worker.both);
        worker.rounds.fetch_add(1, std::memory_order_release);  // pairs with all_went_on()
        if (worker.kind == Kind::sleeper) kernel::sleep_ns(next_random(worker.random) % 2'000'000);
        if (worker.kind == Kind::midwife) kernel::sleep_ns(1'000'000 + next_random(worker.random) % 3'000'000);
    }
}

void live_shortly(void* argument) {
    Both both;
    u64 random = reinterpret_cast<u64>(argument) | 1;
    for (u64 rounds = next_random(random) % 4; rounds > 0; --rounds) {
        Round round;
        round.random = next_random(random);
        round.in_first = (round.random & 0x100) != 0 ? Linger::yield : Linger::none;
        make_round(round, both);
    }
    g_births.end();
}

bool start_worker(Worker& worker, const KindOfWorker& kind, u64 seed) {
    worker.kind = kind.kind;
    worker.random = seed | 1;
    auto handle = kernel::create_task(work, &worker, {.name = kind.name, .priority = kind.priority});
    if (!handle) return false;
    worker.handle = std::move(*handle);
    return true;
}

bool went_on(const Worker& worker) {
    return worker.rounds.load(std::memory_order_acquire) > worker.mark + 1;  // one may have been under way at the mark
}

}  // namespace

void linger(Round& round, Linger how) {
    u64 random = next_random(round.random);
    switch (how) {
        case Linger::none:
            return;
        case Linger::spin:
            for (u64 i = random % 2000; i > 0; --i) asm volatile("" : : "r"(i) : "memory");
            return;
        case Linger::yield:
            kernel::yield();
            return;
        case Linger::sleep:
            kernel::sleep_ns(random % 3'000'000);
            return;
        case Linger::gate:
            wait_at_gate();
            return;
    }
}

void give_birth(Round& round) {
    if (!g_births.begin()) return;
    u64 seed = next_random(round.random);
    auto child = kernel::create_task(live_shortly, reinterpret_cast<void*>(seed), {.name = "child"});
    if (!child) {
        g_births.end();
        g_totals.failed_births.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    g_totals.births.fetch_add(1, std::memory_order_relaxed);
    child->detach();
}

bool start_workload(u64 seed) {
    usize next = 0;
    for (const auto& kind : kKinds) {
        for (usize i = 0; i < kind.count; ++i) {
            if (!start_worker(g_workers[next++], kind, next_random(seed))) return false;
        }
    }
    return next == kLastingTasks;
}

void stop_workload() {
    hold_births();
    g_stop.store(true, std::memory_order_release);
    for (auto& worker : g_workers) {
        open_gate();
        worker.handle.join();
    }
}

void open_gate() {
    kernel::SpinGuard<kernel::IrqSave> guard(g_gate_lock);
    g_gate.wake_all();
}

void hold_births() {
    g_births.hold();
}

void allow_births() {
    g_births.allow();
}

void mark_progress() {
    for (auto& worker : g_workers) worker.mark = worker.rounds.load(std::memory_order_acquire);
}

bool all_went_on(u8 state) {
    for (auto& worker : g_workers) {
        if (!went_on(worker) || worker.handle.task().context.patch_state != state) return false;
    }
    return true;
}

void report_stuck(u8 state) {
    for (auto& worker : g_workers) {
        u8 found = worker.handle.task().context.patch_state;
        if (went_on(worker) && found == state) continue;
        Text<160> line;
        line.append("# stuck: task ", worker.handle.id(), " ", worker.handle.task().name_view(), " rounds ",
                    worker.rounds.load(std::memory_order_relaxed), " mark ", worker.mark, " state ", found, " of ",
                    state, "\n");
        kernel::console_write(line.view());
    }
}

}  // namespace graft::torture
