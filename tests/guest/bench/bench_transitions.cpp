// How long a transition takes: with many sleeping tasks, with busy ones that never sleep, and after the last task that
// held it has left the changing function.

#include <algorithm>

#include "kernel/console.h"
#include "kernel/task_view.h"
#include "tests/guest/bench/bench.h"
#include "tests/guest/bench/driver.h"
#include "tests/guest/shared/ktap.h"

namespace graft::bench {

namespace {

constexpr usize kMostSizes = 8;
constexpr usize kBusyTasks = 4;
constexpr usize kSleeperStack = 8 * 1024;
// Of different lengths: something that only looks now and then would be late by different times.
constexpr u64 kHoldNs[] = {50 * kMillisecond, 131 * kMillisecond, 317 * kMillisecond};

struct Sizes {
    std::array<u64, kMostSizes> values{};
    usize count = 0;
};

struct TransitionBench {
    Driver driver;
    bool ticks = false;
    u64 sleepers = 0;
};

// ---- figures ----

u64 in_unit(const TransitionBench& bench, u64 ns) {
    constexpr u64 kSecond = 1'000'000'000;
    if (!bench.ticks) return ns;
    u64 hz = arch::tsc_frequency_hz();
    return ns / kSecond * hz + ns % kSecond * hz / kSecond;
}

void print(const TransitionBench& bench, std::string_view what, std::string_view of, u64 ns) {
    Text<64> name;
    name.append(what, "_", of);
    print_figure(name.view(), in_unit(bench, ns));
}

// Loads and unloads; prints under `name` how long it took.
const char* come_and_go(TransitionBench& bench, std::string_view name) {
    KTAP_CHECK(bench.driver.begin(Way::load));
    auto loaded = bench.driver.end();
    KTAP_CHECK(loaded);
    u64 version_loaded = target();
    KTAP_CHECK(bench.driver.begin(Way::unload));
    auto unloaded = bench.driver.end();
    KTAP_CHECK(unloaded);
    u64 version_unloaded = target();
    auto freed = bench.driver.freed_ns();
    KTAP_CHECK(freed);
    print(bench, "load", name, loaded->total_ns);
    print(bench, "load_moving", name, loaded->moving_ns);
    print(bench, "unload", name, unloaded->total_ns);
    print(bench, "unload_moving", name, unloaded->moving_ns);
    print(bench, "unload_freed", name, *freed);
    KTAP_CHECK(version_loaded == kReplacement && version_unloaded == kOriginal);
    return nullptr;
}

// ---- sleeping tasks ----

kernel::Semaphore g_never;
std::atomic<u64> g_asleep{0};

void sleep_for_ever(void*) {
    g_asleep.fetch_add(1, std::memory_order_relaxed);  // only counted
    for (;;) g_never.wait();
}

const char* make_sleepers(TransitionBench& bench, u64 wanted) {
    // More urgent than this task: on one processor each is asleep before the next is made.
    kernel::TaskOptions options{
        .name = "sleeper", .priority = kernel::kDefaultPriority + 1, .stack_size = kSleeperStack};
    for (; bench.sleepers < wanted; ++bench.sleepers) {
        auto task = kernel::create_task(sleep_for_ever, nullptr, options);
        KTAP_CHECK(task);
        task->detach();
    }
    KTAP_CHECK(eventually([&] { return g_asleep.load(std::memory_order_relaxed) == wanted; }));
    kernel::sleep_ns(20 * kMillisecond);
    return nullptr;
}

const char* pass_with_sleepers(TransitionBench& bench, u64 wanted) {
    if (const char* wrong = make_sleepers(bench, wanted)) return wrong;
    Text<24> name;
    name.append(wanted);
    return come_and_go(bench, name.view());
}

// ---- busy tasks ----

struct Busy {
    std::atomic<u64> version{0};
    std::atomic<u64> calls{0};
    kernel::TaskHandle task;
};
std::array<Busy, kBusyTasks> g_busy;
std::atomic<bool> g_stop{false};

// Endless as long as the bench lasts: it calls the changing function and neither sleeps nor yields.
void call_for_ever(void* argument) {
    auto& busy = *static_cast<Busy*>(argument);
    while (!g_stop.load(std::memory_order_relaxed)) {
        busy.version.store(target(), std::memory_order_relaxed);
        busy.calls.fetch_add(1, std::memory_order_relaxed);
    }
}

bool all_went_on(const std::array<u64, kBusyTasks>& marks) {
    constexpr u64 kUnderWay = 1;
    for (usize i = 0; i < kBusyTasks; ++i) {
        if (g_busy[i].calls.load(std::memory_order_relaxed) <= marks[i] + kUnderWay) return false;
    }
    return true;
}

// Each goes on and calls this version. The looks are far apart, so that they don't end the loops' turns.
bool all_call(u64 version) {
    constexpr int kLooks = 100;
    std::array<u64, kBusyTasks> marks{};
    for (usize i = 0; i < kBusyTasks; ++i) marks[i] = g_busy[i].calls.load(std::memory_order_relaxed);
    int looks = 0;
    for (; looks < kLooks && !all_went_on(marks); ++looks) kernel::sleep_ns(50 * kMillisecond);
    return looks < kLooks &&
           std::all_of(
               g_busy.begin(), g_busy.end(),
               [&](const Busy& busy) { return busy.version.load(std::memory_order_relaxed) == version; });
}

const char* pass_busy_tasks(TransitionBench& bench) {
    KTAP_CHECK(all_call(kOriginal));
    KTAP_CHECK(bench.driver.begin(Way::load));
    auto loaded = bench.driver.end();
    KTAP_CHECK(loaded);
    KTAP_CHECK(all_call(kReplacement));
    KTAP_CHECK(bench.driver.begin(Way::unload));
    auto unloaded = bench.driver.end();
    KTAP_CHECK(unloaded);
    KTAP_CHECK(all_call(kOriginal));
    print(bench, "load", "busy", loaded->total_ns);
    print(bench, "unload", "busy", unloaded->total_ns);
    KTAP_CHECK(bench.driver.freed_ns());
    return nullptr;
}

const char* pass_with_busy_tasks(TransitionBench& bench) {
    kernel::TaskOptions options{.name = "busy", .priority = kernel::kDefaultPriority - 4};
    usize made = 0;
    for (; made < kBusyTasks; ++made) {
        auto task = kernel::create_task(call_for_ever, &g_busy[made], options);
        if (!task) break;
        g_busy[made].task = std::move(*task);
    }
    const char* wrong = made == kBusyTasks ? pass_busy_tasks(bench) : "the busy tasks can't be made";
    g_stop.store(true, std::memory_order_relaxed);
    for (usize i = 0; i < made; ++i) g_busy[i].task.join();
    return wrong;
}

// ---- a task that is blocked inside ----

class OneBlocking final : public kernel::BlockingSink {
public:
    void blocking(const kernel::BlockingView& view) override {
        ++count;
        last = view;
    }
    u32 count = 0;
    kernel::BlockingView last;
};

// It is the one that is named, and its stack says where it is.
const char* check_named(const Holder& holder, std::string_view function) {
    OneBlocking blocking;
    kernel::view_blocking(blocking);
    KTAP_CHECK(blocking.count == 1);
    KTAP_CHECK(blocking.last.id == holder.id() && !blocking.last.unreliable);
    auto stack = kernel::view_stack(holder.id());
    KTAP_CHECK(stack && stack->reliable);
    Text<4096> text;
    kernel::append_stack(text, *stack);
    bool named = text.view().find(function) != std::string_view::npos;
    if (!named) kernel::console_write(text.view());
    KTAP_CHECK(named);
    return nullptr;
}

const char* hold_and_let_go(TransitionBench& bench, Way way, u64 hold_ns, u64& after_return_ns) {
    Holder holder;
    KTAP_CHECK(holder.enter());
    usize timers = kernel::pending_timers();
    KTAP_CHECK(bench.driver.begin(way));
    KTAP_CHECK(eventually([&] { return bench.driver.is_held(); }));
    kernel::sleep_ns(hold_ns);
    bool held = bench.driver.is_held();
    bool same_timers = kernel::pending_timers() == timers;
    // A disappearing patch's function is named with its patch.
    const char* wrong = check_named(holder, way == Way::load ? "bench::gate(" : "new_gate");
    holder.let_go();
    auto passage = bench.driver.end();
    holder.join();
    if (wrong) return wrong;
    KTAP_CHECK(held && passage);
    KTAP_CHECK(same_timers);
    KTAP_CHECK(passage->moves[static_cast<usize>(patch::MoveCause::hook)] == 1);
    after_return_ns = std::max(after_return_ns, passage->ended_ns - holder.left_ns());
    return nullptr;
}

const char* pass_with_holder(TransitionBench& bench, std::string_view name) {
    u64 load_ns = 0;
    u64 unload_ns = 0;
    for (u64 hold_ns : kHoldNs) {
        if (const char* wrong = hold_and_let_go(bench, Way::load, hold_ns, load_ns)) return wrong;
        if (const char* wrong = hold_and_let_go(bench, Way::unload, hold_ns, unload_ns)) return wrong;
        KTAP_CHECK(bench.driver.freed_ns());
    }
    print(bench, "load_after_return", name, load_ns);
    print(bench, "unload_after_return", name, unload_ns);
    return nullptr;
}

Sizes read_sizes(std::string_view text) {
    Sizes sizes;
    while (!text.empty() && sizes.count < kMostSizes) {
        usize end = std::min(text.find(','), text.size());
        if (auto value = kernel::parse_number({text.data(), end})) sizes.values[sizes.count++] = *value;
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return sizes;
}

}  // namespace

bool bench_transitions(std::span<const std::byte> file, const kernel::CommandLine& arguments) {
    TransitionBench bench{.driver = Driver(file), .ticks = arguments.value("unit") == "ticks"};
    Sizes sizes = read_sizes(arguments.value("tasks").value_or("8,64"));
    tests::Ktap ktap(static_cast<u32>(sizes.count) + 4);
    ktap.run("the first transition", [&] { return come_and_go(bench, "first"); });
    ktap.run("a task blocked inside holds it, is named, and ends it", [&] { return pass_with_holder(bench, "few"); });
    ktap.run("endless loops don't hold it up", [&] { return pass_with_busy_tasks(bench); });
    for (usize i = 0; i < sizes.count; ++i) {
        Text<40> name;
        name.append(sizes.values[i], " sleeping tasks");
        ktap.run(name.view(), [&] { return pass_with_sleepers(bench, sizes.values[i]); });
    }
    ktap.run("a task blocked inside, among many", [&] { return pass_with_holder(bench, "many"); });
    return ktap.failed() == 0;
}

}  // namespace graft::bench
