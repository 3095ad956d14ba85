#include "tests/guest/lifecycle/workload.h"

#include <string_view>

#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/shared/births.h"
#include "tests/guest/shared/random.h"

namespace graft::lifecycle {

Totals g_totals;
std::array<std::array<std::atomic<u64>, kCallbackCount>, kFileCount> g_callback_runs;
std::array<Object, kObjectCount> g_objects;
std::atomic<u64> g_notes_alive{0};
std::atomic<u64> g_next_note{1};

namespace {

using tests::next_random;

constexpr u64 kPollNs = 300'000;
constexpr u64 kMaskBits = 16;
static_assert(kFileCount <= kMaskBits);

enum class Kind : u8 { busy, sleeper, inside, midwife };

struct KindOfWorker {
    Kind kind;
    std::string_view name;
    usize count;
    u8 priority;
};
constexpr KindOfWorker kKinds[] = {
    {Kind::busy, "busy", 2, kernel::kDefaultPriority - 4},
    {Kind::sleeper, "sleeper", 3, kernel::kDefaultPriority},
    {Kind::inside, "inside", 4, kernel::kDefaultPriority},
    {Kind::midwife, "midwife", 1, kernel::kDefaultPriority},
};

struct Worker {
    Kind kind = Kind::busy;
    u64 random = 0;
    std::atomic<u64> rounds{0};  // finished
    u64 mark = 0;
    kernel::TaskHandle handle;
};

std::array<Worker, kLastingTasks - 1> g_workers;
std::atomic<bool> g_stop{false};
tests::Births g_births;

// By Place: how often it has changed, and the Files in the lowest bits; one word, so that both are read together.
std::array<std::atomic<u64>, kPlaceCount> g_allowed;

enum class Stay : u8 { outside, wanted, inside, leaving };
std::atomic<Stay> g_stay{Stay::outside};
std::atomic<Place> g_stay_place{Place::pair};
kernel::TaskHandle g_stayer;

constinit volatile u64* volatile g_nowhere = nullptr;

std::atomic<bool> g_pre_patch_held{false};
std::atomic<u64> g_in_pre_patch{0};

template <typename Condition>
void sleep_until_true(Condition&& condition) {
    while (!condition()) kernel::sleep_ns(kPollNs);
}

Files files_of_pair(u32 seen) {
    switch (seen) {
        case 0:
            return one(File::none) | one(File::pair_4);
        case 1 * 256 + 1:
            return one(File::pair_1);
        case 2 * 256 + 2:
            return one(File::pair_2);
        case 3 * 256:
            return one(File::pair_3);
        default:
            return 0;
    }
}

Files files_of_gamma(u32 seen) {
    constexpr File kFiles[] = {File::none, File::solo_1, File::solo_2};
    return seen < std::size(kFiles) ? one(kFiles[seen]) : 0;
}

Files call(Place place, Round& round) {
    return place == Place::pair ? files_of_pair(call_pair(round)) : files_of_gamma(gamma(round));
}

void judge_call(Place place, Round& round) {
    auto& allowed = g_allowed[static_cast<usize>(place)];
    u64 before = allowed.load(std::memory_order_acquire);
    Files seen = call(place, round);
    std::atomic_thread_fence(std::memory_order_acquire);
    bool unchanged = allowed.load(std::memory_order_relaxed) == before;
    if (seen == 0) {
        g_totals.mixed.fetch_add(1, std::memory_order_relaxed);
    } else if (unchanged && (seen & before) == 0) {
        g_totals.wrong.fetch_add(1, std::memory_order_relaxed);
    }
}

void make_round(Round& round) {
    judge_call(Place::pair, round);
    judge_call(Place::solo, round);
    g_totals.rounds.fetch_add(1, std::memory_order_relaxed);
}

Linger some_wait(u64 random) {
    constexpr Linger kChoices[] = {Linger::sleep, Linger::sleep, Linger::yield, Linger::spin};
    return kChoices[random % 4];
}

Round plan_round(Worker& worker) {
    Round round;
    round.random = next_random(worker.random);
    u64 choice = round.random >> 8;
    if (worker.kind == Kind::inside) {
        round.in_alpha = some_wait(choice);
        round.in_beta = some_wait(choice >> 2);
        round.in_gamma = some_wait(choice >> 4);
    } else if (worker.kind == Kind::busy) {
        round.in_alpha = (choice & 1) != 0 ? Linger::spin : Linger::none;
        round.in_gamma = (choice & 2) != 0 ? Linger::yield : Linger::none;
    }
    return round;
}

void live_shortly(void* argument) {
    u64 random = reinterpret_cast<u64>(argument) | 1;
    for (u64 rounds = next_random(random) % 4; rounds > 0; --rounds) {
        Round round;
        round.random = next_random(random);
        round.in_alpha = (round.random & 0x100) != 0 ? Linger::yield : Linger::none;
        make_round(round);
    }
    g_births.end();
}

void give_birth(u64 seed) {
    if (!g_births.begin()) return;
    auto child = kernel::create_task(live_shortly, reinterpret_cast<void*>(seed), {.name = "child"});
    if (!child) return g_births.end();
    g_totals.births.fetch_add(1, std::memory_order_relaxed);
    child->detach();
}

void work(void* argument) {
    auto& worker = *static_cast<Worker*>(argument);
    while (!g_stop.load(std::memory_order_acquire)) {
        Round round = plan_round(worker);
        make_round(round);
        worker.rounds.fetch_add(1, std::memory_order_release);  // pairs with all_went_on()
        if (worker.kind == Kind::sleeper) kernel::sleep_ns(next_random(worker.random) % 2'000'000);
        if (worker.kind != Kind::midwife) continue;
        give_birth(next_random(worker.random));
        kernel::sleep_ns(1'000'000 + next_random(worker.random) % 3'000'000);
    }
}

void stay_when_told(void*) {
    while (!g_stop.load(std::memory_order_acquire)) {
        if (g_stay.load(std::memory_order_acquire) == Stay::wanted) {
            Round round;
            round.in_alpha = round.in_gamma = Linger::stay;
            (void)call(g_stay_place.load(std::memory_order_relaxed), round);
            g_stay.store(Stay::outside, std::memory_order_release);
        }
        kernel::sleep_ns(kPollNs);
    }
}

void stay() {
    g_stay.store(Stay::inside, std::memory_order_release);
    sleep_until_true([] { return g_stay.load(std::memory_order_acquire) == Stay::leaving; });
}

void call_and_fault(void* place) {
    Round round;
    round.in_alpha = round.in_gamma = Linger::fault;
    (void)call(*static_cast<const Place*>(place), round);
}

bool start_worker(Worker& worker, const KindOfWorker& kind, u64 seed) {
    worker.kind = kind.kind;
    worker.random = seed | 1;
    auto handle = kernel::create_task(work, &worker, {.name = kind.name, .priority = kind.priority});
    if (!handle) return false;
    worker.handle = std::move(*handle);
    return true;
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
        case Linger::stay:
            stay();
            return;
        case Linger::fault:
            *g_nowhere = 1;
            return;
    }
}

[[gnu::used, gnu::retain]] void count_callback(File file, Callback callback) {
    g_callback_runs[static_cast<usize>(file)][static_cast<usize>(callback)].fetch_add(1, std::memory_order_relaxed);
}

[[gnu::used, gnu::retain]] void arrive_in_pre_patch() {
    g_in_pre_patch.fetch_add(1, std::memory_order_release);
    sleep_until_true([] { return !g_pre_patch_held.load(std::memory_order_acquire); });
    g_in_pre_patch.fetch_sub(1, std::memory_order_release);
}

void hold_pre_patch() {
    g_pre_patch_held.store(true, std::memory_order_release);
}

bool is_in_pre_patch() {
    return g_in_pre_patch.load(std::memory_order_acquire) != 0;
}

void release_pre_patch() {
    g_pre_patch_held.store(false, std::memory_order_release);
}

bool start_workload(u64 seed) {
    allow(Place::pair, one(File::none));
    allow(Place::solo, one(File::none));
    auto stayer = kernel::create_task(stay_when_told, nullptr, {.name = "stayer"});
    if (!stayer) return false;
    g_stayer = std::move(*stayer);
    usize next = 0;
    for (const auto& kind : kKinds) {
        for (usize i = 0; i < kind.count; ++i) {
            if (!start_worker(g_workers[next++], kind, next_random(seed))) return false;
        }
    }
    return next == g_workers.size();
}

void stop_workload() {
    hold_births();
    g_stop.store(true, std::memory_order_release);
    for (auto& worker : g_workers) worker.handle.join();
    g_stayer.join();
}

void allow(Place place, Files files) {
    auto& allowed = g_allowed[static_cast<usize>(place)];
    u64 times = (allowed.load(std::memory_order_relaxed) >> kMaskBits) + 1;
    allowed.store(times << kMaskBits | files, std::memory_order_seq_cst);
}

Files observe(Place place) {
    Round round;
    return call(place, round);
}

void enter(Place place) {
    g_stay_place.store(place, std::memory_order_relaxed);
    g_stay.store(Stay::wanted, std::memory_order_release);
    sleep_until_true([] { return g_stay.load(std::memory_order_acquire) == Stay::inside; });
}

void leave() {
    g_stay.store(Stay::leaving, std::memory_order_release);
    sleep_until_true([] { return g_stay.load(std::memory_order_acquire) == Stay::outside; });
}

u64 staying_task() {
    return g_stayer.id();
}

bool fault_at(Place place) {
    auto task = kernel::create_task(call_and_fault, &place, {.name = "faulty"});
    return task && task->join() == kernel::TaskEnd::faulted;
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

bool all_went_on() {
    for (auto& worker : g_workers) {
        if (worker.rounds.load(std::memory_order_acquire) <= worker.mark + 1) return false;
    }
    return true;
}

}  // namespace graft::lifecycle
