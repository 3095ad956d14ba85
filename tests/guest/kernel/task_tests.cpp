#include <array>
#include <atomic>
#include <memory>

#include "kernel/clock.h"
#include "kernel/mutex.h"
#include "kernel/processor.h"
#include "kernel/task.h"
#include "kernel/task_list.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

using kernel::TaskHandle;
using kernel::TaskOptions;

std::atomic<u64> counter{0};

void count(void*) {
    counter.fetch_add(1, std::memory_order_relaxed);
}

u32 processor_here() {
    arch::InterruptsOff off;
    return kernel::this_processor().index;
}

}  // namespace

const char* tasks_run_and_join() {
    counter.store(0, std::memory_order_relaxed);
    std::array<TaskHandle, 20> handles;
    for (auto& handle : handles) {
        auto made = kernel::create_task(count, nullptr, {});
        KTAP_CHECK(made);
        handle = std::move(*made);
    }
    for (auto& handle : handles) handle.join();
    KTAP_CHECK(counter.load(std::memory_order_relaxed) == 20);
    TaskOptions bad;
    bad.priority = kernel::kPriorityCount;
    KTAP_CHECK(!kernel::create_task(count, nullptr, bad));
    bad = {};
    bad.stack_size = 100;
    KTAP_CHECK(!kernel::create_task(count, nullptr, bad));
    return nullptr;
}

// ---- priorities ----

namespace {

struct Race {
    std::atomic<bool> go{false};
    std::atomic<u32> place{0};
    std::array<u32, 3> finished{};
};

struct Runner {
    Race* race;
    u32 number;
};

void run_race(void* argument) {
    auto& runner = *static_cast<Runner*>(argument);
    runner.race->finished[runner.number] = runner.race->place.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// All are bound to this processor and made while this task, more urgent than they, holds it.
const char* priorities_are_kept() {
    Race race;
    std::array<Runner, 3> runners{};
    std::array<TaskHandle, 3> handles;
    struct Maker {
        std::array<Runner, 3>* runners;
        std::array<TaskHandle, 3>* handles;
        Race* race;
        bool made = true;
    } maker{&runners, &handles, &race};
    auto make = [](void* argument) {
        auto& maker = *static_cast<Maker*>(argument);
        for (u32 i = 0; i < 3; ++i) {
            (*maker.runners)[i] = {maker.race, i};
            TaskOptions options;
            options.processors = 1;
            options.priority = static_cast<u8>(5 + i);
            auto handle = kernel::create_task(run_race, &(*maker.runners)[i], options);
            maker.made = maker.made && handle;
            if (handle) (*maker.handles)[i] = std::move(*handle);
        }
    };
    TaskOptions options;
    options.processors = 1;
    options.priority = 20;
    auto handle = kernel::create_task(make, &maker, options);
    KTAP_CHECK(handle);
    handle->join();
    KTAP_CHECK(maker.made);
    for (auto& runner : handles) runner.join();
    KTAP_CHECK(race.finished[2] == 0);
    KTAP_CHECK(race.finished[1] == 1);
    KTAP_CHECK(race.finished[0] == 2);
    return nullptr;
}

namespace {

struct Spinner {
    std::atomic<bool> stop{false};
    std::array<std::atomic<u64>, 3> rounds{};
};
struct SpinnerShare {
    Spinner* spinner;
    u32 number;
};

void spin(void* argument) {
    auto& share = *static_cast<SpinnerShare*>(argument);
    while (!share.spinner->stop.load(std::memory_order_relaxed)) {
        share.spinner->rounds[share.number].fetch_add(1, std::memory_order_relaxed);
    }
}

u64 last_processor() {
    return u64{1} << (kernel::processor_count() - 1);
}

void wake_often(void* argument) {
    auto& spinner = *static_cast<Spinner*>(argument);
    while (!spinner.stop.load(std::memory_order_relaxed)) kernel::sleep_ns(kMillisecond);
}

// Three that never sleep, on the last processor: only the timer's interrupt can share it among them.
const char* share_last_processor(Spinner& spinner) {
    std::array<SpinnerShare, 3> shares{};
    std::array<TaskHandle, 3> handles;
    for (u32 i = 0; i < 3; ++i) {
        shares[i] = {&spinner, i};
        TaskOptions options;
        options.processors = last_processor();
        options.priority = 8;
        auto handle = kernel::create_task(spin, &shares[i], options);
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    u64 end = kernel::now_ns() + 5000 * kMillisecond;
    bool all = false;
    while (!all && kernel::now_ns() < end) {
        kernel::sleep_ns(20 * kMillisecond);
        all = true;
        for (auto& rounds : spinner.rounds) all = all && rounds.load(std::memory_order_relaxed) != 0;
    }
    kernel::sleep_ns(100 * kMillisecond);
    spinner.stop.store(true, std::memory_order_relaxed);
    for (auto& handle : handles) handle.join();
    KTAP_CHECK(all);
    return nullptr;
}

}  // namespace

const char* equal_tasks_share_a_processor() {
    Spinner spinner;
    return share_last_processor(spinner);
}

// An urgent task that wakes several times a slice must not give the first of the equal ones a fresh slice each time.
const char* outranked_tasks_share_a_processor() {
    Spinner spinner;
    TaskOptions options;
    options.processors = last_processor();
    options.priority = 20;
    auto urgent = kernel::create_task(wake_often, &spinner, options);
    KTAP_CHECK(urgent);
    const char* wrong = share_last_processor(spinner);
    spinner.stop.store(true, std::memory_order_relaxed);
    urgent->join();
    return wrong;
}

// ---- processors ----

namespace {

std::array<std::atomic<u32>, arch::kMaxProcessors> seen{};

void note_processor(void*) {
    u64 end = kernel::now_ns() + 50 * kMillisecond;
    while (kernel::now_ns() < end) seen[processor_here()].store(1, std::memory_order_relaxed);
}

struct Bound {
    u32 processor;
    bool kept = true;
};

void stay(void* argument) {
    auto& bound = *static_cast<Bound*>(argument);
    for (u32 i = 0; i < 50; ++i) {
        bound.kept = bound.kept && processor_here() == bound.processor;
        if (i % 10 == 0) {
            kernel::sleep_ns(kMillisecond);
        } else {
            kernel::yield();
        }
    }
}

}  // namespace

const char* all_processors_work() {
    u32 processors = kernel::processor_count();
    std::array<TaskHandle, 2 * arch::kMaxProcessors> handles;
    for (u32 i = 0; i < 2 * processors; ++i) {
        auto handle = kernel::create_task(note_processor, nullptr, {});
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    for (u32 i = 0; i < 2 * processors; ++i) handles[i].join();
    for (u32 i = 0; i < processors; ++i) KTAP_CHECK(seen[i].load(std::memory_order_relaxed) == 1);
    return nullptr;
}

const char* affinity_is_kept() {
    u32 processors = kernel::processor_count();
    std::array<Bound, arch::kMaxProcessors> bounds{};
    std::array<TaskHandle, arch::kMaxProcessors> handles;
    for (u32 i = 0; i < processors; ++i) {
        bounds[i].processor = i;
        TaskOptions options;
        options.processors = u64{1} << i;
        auto handle = kernel::create_task(stay, &bounds[i], options);
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    for (u32 i = 0; i < processors; ++i) handles[i].join();
    for (u32 i = 0; i < processors; ++i) KTAP_CHECK(bounds[i].kept);
    return nullptr;
}

// ---- SSE ----

namespace {

struct Sum {
    double step;
    double result = 0;
};

void add_up(void* argument) {
    auto& sum = *static_cast<Sum*>(argument);
    double total = 0;
    for (u32 i = 0; i < 2000; ++i) {
        total += sum.step;
        if (i % 100 == 0) kernel::yield();
    }
    sum.result = total;
}

}  // namespace

const char* sse_state_is_kept() {
    std::array<Sum, 8> sums{};
    std::array<TaskHandle, 8> handles;
    for (u32 i = 0; i < sums.size(); ++i) {
        sums[i].step = 0.5 * (i + 1);
        TaskOptions options;
        options.processors = u64{1} << i % (kernel::processor_count() < 2 ? 1 : 2);  // several share one
        auto handle = kernel::create_task(add_up, &sums[i], options);
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    for (auto& handle : handles) handle.join();
    for (const Sum& sum : sums) KTAP_CHECK(sum.result == sum.step * 2000);
    return nullptr;
}

// ---- many ----

namespace {

kernel::Semaphore gate;
kernel::Semaphore arrived;

void wait_at_gate(void*) {
    arrived.post();
    gate.wait();
}

}  // namespace

const char* ten_thousand_tasks() {
    constexpr u32 kMany = 10'000;
    auto handles = std::make_unique<TaskHandle[]>(kMany);
    u64 before = kernel::task_count();
    TaskOptions options;
    options.stack_size = kernel::kSmallestStackSize;
    for (u32 i = 0; i < kMany; ++i) {
        auto handle = kernel::create_task(wait_at_gate, nullptr, options);
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    for (u32 i = 0; i < kMany; ++i) arrived.wait();
    KTAP_CHECK(kernel::task_count() == before + kMany);
    gate.post(kMany);
    for (u32 i = 0; i < kMany; ++i) handles[i].join();
    KTAP_CHECK(kernel::task_count() == before);
    return nullptr;
}

}  // namespace graft::tests
