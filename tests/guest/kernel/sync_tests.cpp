#include <array>
#include <atomic>

#include "kernel/clock.h"
#include "kernel/mutex.h"
#include "kernel/task_view.h"
#include "kernel/timers.h"
#include "kernel/work.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

using kernel::TaskHandle;
using kernel::WaitResult;

struct Shared {
    kernel::Mutex mutex;
    u64 plain = 0;
};

void add_plainly(void* argument) {
    auto& shared = *static_cast<Shared*>(argument);
    for (u32 i = 0; i < 2000; ++i) {
        kernel::MutexGuard guard(shared.mutex);
        u64 value = shared.plain;
        if (i % 64 == 0) kernel::yield();
        shared.plain = value + 1;
    }
}

}  // namespace

const char* mutex_excludes() {
    Shared shared;
    std::array<TaskHandle, 6> handles;
    for (auto& handle : handles) {
        auto made = kernel::create_task(add_plainly, &shared, {});
        KTAP_CHECK(made);
        handle = std::move(*made);
    }
    for (auto& handle : handles) handle.join();
    KTAP_CHECK(shared.plain == 6 * 2000);
    KTAP_CHECK(shared.mutex.try_lock());
    shared.mutex.unlock();
    return nullptr;
}

// ---- a bounded buffer over two conditions ----

namespace {

constexpr u32 kItems = 3000;

struct Buffer {
    kernel::Mutex mutex;
    kernel::Condition not_empty;
    kernel::Condition not_full;
    std::array<u32, 4> items{};
    u32 first = 0;
    u32 count = 0;
    u64 sum = 0;
};

void produce(void* argument) {
    auto& buffer = *static_cast<Buffer*>(argument);
    for (u32 i = 1; i <= kItems; ++i) {
        kernel::MutexGuard guard(buffer.mutex);
        while (buffer.count == buffer.items.size()) buffer.not_full.wait(buffer.mutex);
        buffer.items[(buffer.first + buffer.count++) % buffer.items.size()] = i;
        buffer.not_empty.notify_one();
    }
}

void consume(void* argument) {
    auto& buffer = *static_cast<Buffer*>(argument);
    for (u32 i = 0; i < kItems; ++i) {
        kernel::MutexGuard guard(buffer.mutex);
        while (buffer.count == 0) buffer.not_empty.wait(buffer.mutex);
        buffer.sum += buffer.items[buffer.first];
        buffer.first = (buffer.first + 1) % buffer.items.size();
        --buffer.count;
        buffer.not_full.notify_one();
    }
}

}  // namespace

const char* condition_passes_items() {
    Buffer buffer;
    auto producer = kernel::create_task(produce, &buffer, {});
    auto consumer = kernel::create_task(consume, &buffer, {});
    KTAP_CHECK(producer && consumer);
    producer->join();
    consumer->join();
    KTAP_CHECK(buffer.sum == u64{kItems} * (kItems + 1) / 2);
    return nullptr;
}

// ---- semaphore, waits ----

namespace {

struct PingPong {
    kernel::Semaphore ping;
    kernel::Semaphore pong;
};

void answer(void* argument) {
    auto& both = *static_cast<PingPong*>(argument);
    for (u32 i = 0; i < 500; ++i) {
        both.ping.wait();
        both.pong.post();
    }
}

struct Sleeper {
    kernel::Semaphore never;
    std::atomic<bool> began{false};
    WaitResult result = WaitResult::woken;
};

void sleep_interruptibly(void* argument) {
    auto& sleeper = *static_cast<Sleeper*>(argument);
    sleeper.began.store(true, std::memory_order_release);  // pairs with wait_is_interrupted()
    sleeper.result = sleeper.never.wait(kernel::kNever, kernel::Interruptible::yes);
}

}  // namespace

const char* semaphore_counts() {
    kernel::Semaphore semaphore(2);
    KTAP_CHECK(semaphore.try_wait());
    KTAP_CHECK(semaphore.try_wait());
    KTAP_CHECK(!semaphore.try_wait());
    PingPong both;
    auto task = kernel::create_task(answer, &both, {});
    KTAP_CHECK(task);
    for (u32 i = 0; i < 500; ++i) {
        both.ping.post();
        both.pong.wait();
    }
    task->join();
    return nullptr;
}

const char* wait_times_out() {
    kernel::Semaphore never;
    u64 begin = kernel::now_ns();
    KTAP_CHECK(never.wait(begin + 20 * kMillisecond) == WaitResult::timed_out);
    KTAP_CHECK(kernel::now_ns() >= begin + 20 * kMillisecond);
    never.post();
    KTAP_CHECK(never.wait(kernel::now_ns() + 1000 * kMillisecond) == WaitResult::woken);
    return nullptr;
}

const char* wait_is_interrupted() {
    Sleeper sleeper;
    auto task = kernel::create_task(sleep_interruptibly, &sleeper, {});
    KTAP_CHECK(task);
    while (!sleeper.began.load(std::memory_order_acquire)) kernel::yield();  // pairs with sleep_interruptibly()
    KTAP_CHECK(kernel::interrupt_task(task->id()));
    task->join();
    KTAP_CHECK(sleeper.result == WaitResult::interrupted);
    KTAP_CHECK(!kernel::interrupt_task(~u64{0}));

    // One that came before the wait is kept, though its token is used up.
    KTAP_CHECK(kernel::interrupt_task(kernel::current_task().id));
    kernel::park();
    KTAP_CHECK(sleeper.never.wait(kernel::now_ns() + 100 * kMillisecond, kernel::Interruptible::yes) ==
               WaitResult::interrupted);
    return nullptr;
}

// ---- time ----

const char* sleep_is_not_early() {
    for (u64 duration : {u64{0}, u64{100'000}, 5 * kMillisecond, 30 * kMillisecond}) {
        u64 begin = kernel::now_ns();
        kernel::sleep_ns(duration);
        u64 slept = kernel::now_ns() - begin;
        KTAP_CHECK(slept >= duration);
        KTAP_CHECK(slept < duration + 2000 * kMillisecond);
    }
    return nullptr;
}

namespace {

struct Firings {
    std::array<u32, 3> order{};
    std::atomic<u32> count{0};
    kernel::Semaphore done;
};
struct Firing {
    Firings* firings;
    u32 number;
};

void fire(void* argument) {
    auto& firing = *static_cast<Firing*>(argument);
    u32 place = firing.firings->count.fetch_add(1, std::memory_order_relaxed);
    firing.firings->order[place] = firing.number;
    firing.firings->done.post();
}

}  // namespace

const char* timers_fire_in_order() {
    Firings firings;
    Firing first{&firings, 0};
    Firing second{&firings, 1};
    Firing third{&firings, 2};
    kernel::Timer late(fire, &third);
    kernel::Timer early(fire, &first);
    kernel::Timer middle(fire, &second);
    u64 now = kernel::now_ns();
    late.set(now + 30 * kMillisecond);
    early.set(now + 10 * kMillisecond);
    middle.set(now + 20 * kMillisecond);
    for (u32 i = 0; i < 3; ++i) KTAP_CHECK(firings.done.wait(now + 5000 * kMillisecond) == WaitResult::woken);
    KTAP_CHECK(kernel::now_ns() >= now + 30 * kMillisecond);
    for (u32 i = 0; i < 3; ++i) KTAP_CHECK(firings.order[i] == i);
    return nullptr;
}

const char* cancelled_timer_is_silent() {
    Firings firings;
    Firing firing{&firings, 0};
    kernel::Timer timer(fire, &firing);
    timer.set(kernel::now_ns() + 20 * kMillisecond);
    KTAP_CHECK(timer.cancel());
    kernel::sleep_ns(40 * kMillisecond);
    KTAP_CHECK(firings.count.load(std::memory_order_relaxed) == 0);
    KTAP_CHECK(!timer.cancel());
    timer.set(kernel::now_ns() + kMillisecond);
    KTAP_CHECK(firings.done.wait(kernel::now_ns() + 5000 * kMillisecond) == WaitResult::woken);
    return nullptr;
}

namespace {

// Sets itself again each time, and lasts until it is told to end.
struct Stubborn {
    kernel::Timer timer{run, this};
    kernel::Semaphore begun;
    kernel::Semaphore may_end;
    std::atomic<u32> runs{0};
    std::atomic<u32> cancelled{0};

    static void run(void* argument) {
        auto& self = *static_cast<Stubborn*>(argument);
        self.runs.fetch_add(1, std::memory_order_relaxed);
        self.timer.set(0);
        self.begun.post();
        self.may_end.wait();
    }
    static void cancel(void* argument) {
        auto& self = *static_cast<Stubborn*>(argument);
        (void)self.timer.cancel();
        self.cancelled.fetch_add(1, std::memory_order_release);
    }
};

}  // namespace

const char* timer_is_cancelled_by_several() {
    constexpr usize kCancellers = 3;
    Stubborn stubborn;
    stubborn.timer.set(0);
    stubborn.begun.wait();
    std::array<kernel::TaskHandle, kCancellers> cancellers;
    for (auto& canceller : cancellers) {
        auto made = kernel::create_task(Stubborn::cancel, &stubborn, {});
        KTAP_CHECK(made);
        canceller = std::move(*made);
    }
    // All of them wait in cancel() by then.
    auto all_wait = [&] {
        for (auto& canceller : cancellers) {
            auto view = kernel::view_task(canceller.id());
            if (!view || view->state != kernel::TaskState::blocked) return false;
        }
        return true;
    };
    // Nobody can sleep: the callback holds up the timer task.
    u64 bound = kernel::now_ns() + kHangNs;
    while (!all_wait() && kernel::now_ns() < bound) kernel::yield();
    bool waited = all_wait();
    bool early = stubborn.cancelled.load(std::memory_order_acquire) != 0;
    stubborn.may_end.post();
    for (auto& canceller : cancellers) canceller.join();
    kernel::sleep_ns(20 * kMillisecond);
    stubborn.may_end.post();  // for a run that must not come
    KTAP_CHECK(waited && !early);
    KTAP_CHECK(stubborn.runs.load(std::memory_order_relaxed) == 1);
    return nullptr;
}

const char* work_runs() {
    kernel::Semaphore done;
    kernel::WorkItem item([](void* argument) { static_cast<kernel::Semaphore*>(argument)->post(); }, &done);
    for (u32 i = 0; i < 10; ++i) {
        item.queue();
        KTAP_CHECK(done.wait(kernel::now_ns() + 5000 * kMillisecond) == WaitResult::woken);
    }
    return nullptr;
}

}  // namespace graft::tests
