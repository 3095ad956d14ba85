#include <array>
#include <atomic>
#include <cstring>

#include "arch/x86_64/cpu.h"
#include "drivers/uart16550.h"
#include "kernel/clock.h"
#include "kernel/code_map.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/task_view.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/eventually.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

struct Reader {
    u64 wanted;
    kernel::LogRecord record;
    bool found = false;
};

void read_one(void* argument) {
    auto& reader = *static_cast<Reader*>(argument);
    if (!kernel::wait_for_log(reader.wanted, kernel::now_ns() + 5000 * kMillisecond)) return;
    reader.found = kernel::read_log(reader.wanted, reader.record).found;
}

}  // namespace

const char* log_reader_waits() {
    Reader reader{kernel::next_log_sequence(), {}};
    auto task = kernel::create_task(read_one, &reader, {});
    KTAP_CHECK(task);
    kernel::sleep_ns(5 * kMillisecond);
    kernel::log(kernel::LogLevel::debug, "for the reader");
    task->join();
    KTAP_CHECK(reader.found);
    KTAP_CHECK(reader.record.view() == "for the reader");
    return nullptr;
}

const char* symbols_are_found() {
    auto name = kernel::name_of_code(VirtAddr(VirtAddr(reinterpret_cast<u64>(&symbols_are_found)) + 4));
    KTAP_CHECK(name.function == "_ZN5graft5tests17symbols_are_foundEv");
    KTAP_CHECK(name.offset == 4);
    Text<128> text;
    kernel::append_code_name(text, VirtAddr(u64{0x1234}));
    KTAP_CHECK(text.view() == "0x0000000000001234");
    return nullptr;
}

// ---- stacks of a sleeping and of a running task ----

namespace {

kernel::Semaphore sleeper_gate;
std::atomic<bool> stop_spinning{false};
std::atomic<bool> spinning{false};

[[gnu::noinline]] void sleep_deep(u32 depth) {
    if (depth == 0) {
        sleeper_gate.wait();
    } else {
        sleep_deep(depth - 1);
    }
    asm volatile("");
}

void sleeping_task(void*) {
    sleep_deep(5);
}

[[gnu::noinline]] void spin_here() {
    while (!stop_spinning.load(std::memory_order_relaxed)) spinning.store(true, std::memory_order_relaxed);
}

void spinning_task(void*) {
    spin_here();
}

bool contains(const kernel::StackView& stack, std::string_view function) {
    for (usize i = 0; i < stack.count; ++i) {
        arch::InterruptsOff off;
        if (kernel::name_of_code(stack.pcs[i]).display.find(function) != std::string_view::npos) return true;
    }
    return false;
}

}  // namespace

const char* stacks_are_walked() {
    auto sleeper = kernel::create_task(sleeping_task, nullptr, {});
    auto spinner = kernel::create_task(spinning_task, nullptr, {});
    KTAP_CHECK(sleeper && spinner);
    while (!spinning.load(std::memory_order_relaxed)) kernel::yield();
    kernel::sleep_ns(5 * kMillisecond);
    auto of_sleeper = kernel::view_stack(sleeper->id());
    auto of_spinner = kernel::view_stack(spinner->id());
    auto own = kernel::view_stack(kernel::current_task().id);
    stop_spinning.store(true, std::memory_order_relaxed);
    sleeper_gate.post();
    sleeper->join();
    spinner->join();
    KTAP_CHECK(of_sleeper && of_sleeper->reliable);
    KTAP_CHECK(contains(*of_sleeper, "sleep_deep"));
    KTAP_CHECK(contains(*of_sleeper, "sleeping_task"));
    KTAP_CHECK(of_spinner && of_spinner->reliable);
    KTAP_CHECK(contains(*of_spinner, "spin_here"));
    KTAP_CHECK(own && own->reliable);
    KTAP_CHECK(contains(*own, "stacks_are_walked"));
    KTAP_CHECK(!kernel::view_stack(~u64{0}));
    return nullptr;
}

// ---- a static that two tasks initialise at once ----

namespace {

std::atomic<u32> constructions{0};

struct Slow {
    Slow() {
        kernel::sleep_ns(5 * kMillisecond);
        constructions.fetch_add(1, std::memory_order_relaxed);
    }
    u32 value = 7;
};

u32 use_static() {
    static Slow slow;
    return slow.value;
}

void use_in_task(void* argument) {
    *static_cast<u32*>(argument) = use_static();
}

}  // namespace

const char* statics_have_guards() {
    std::array<u32, 4> values{};
    std::array<kernel::TaskHandle, 4> handles;
    for (u32 i = 0; i < values.size(); ++i) {
        auto made = kernel::create_task(use_in_task, &values[i], {});
        KTAP_CHECK(made);
        handles[i] = std::move(*made);
    }
    for (auto& handle : handles) handle.join();
    for (u32 value : values) KTAP_CHECK(value == 7);
    KTAP_CHECK(constructions.load(std::memory_order_relaxed) == 1);
    return nullptr;
}

// ---- the second serial port, its output looped back inside the chip ----

const char* serial_loopback() {
    if (!use_second_port) return nullptr;
    static drivers::Uart16550 port(drivers::kCom2Port, drivers::kCom2Irq);
    if (!port.start()) return nullptr;  // not every machine has one
    constexpr u16 kModemControl = drivers::kCom2Port + 4;
    constexpr u8 kLoop = 0x10;
    arch::out8(kModemControl, static_cast<u8>(arch::in8(kModemControl) | kLoop));
    std::array<u8, 3000> sent{};
    std::array<u8, 3000> received{};
    for (usize i = 0; i < sent.size(); ++i) sent[i] = static_cast<u8>(i * 7);
    KTAP_CHECK(port.write_some(sent) == sent.size());
    usize count = 0;
    u64 deadline = kernel::now_ns() + 10'000 * kMillisecond;
    while (count < received.size() && port.wait_readable(deadline)) {
        count += port.read(std::span(received).subspan(count));
    }
    arch::out8(kModemControl, static_cast<u8>(arch::in8(kModemControl) & ~kLoop));
    KTAP_CHECK(count == sent.size());
    KTAP_CHECK(std::memcmp(sent.data(), received.data(), sent.size()) == 0);
    KTAP_CHECK(port.statistics().interrupts != 0);
    return nullptr;
}

}  // namespace graft::tests
