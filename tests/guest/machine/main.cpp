// What arch/ promises, seen from a task: rights of pages, registers across switches and hooks, text writes under fire,
// rounds of all processors, the clock.

#include <array>
#include <atomic>

#include "arch/x86_64/call_sites.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/interrupts.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/poke.h"
#include "arch/x86_64/processors.h"
#include "arch/x86_64/return_hook.h"
#include "arch/x86_64/sync.h"
#include "kernel/app.h"
#include "kernel/image.h"
#include "kernel/interrupts.h"
#include "kernel/memory.h"
#include "kernel/task.h"
#include "kernel/timers.h"
#include "tests/guest/shared/ktap.h"

namespace graft {

namespace {

using namespace arch;
using tests::Ktap;

struct Returned {
    u64 rax, rdx, xmm_low, xmm_high;
    u8 carry;
};

}  // namespace

extern "C" {
u64 probe_write(u64 address);
u64 probe_read(u64 address);
u64 probe_execute(u64 address);
void call_hooked_leaf(Returned* out, void (*install)(u64 slot));
extern const char probe_write_at[], probe_write_recovery[], probe_read_at[], probe_read_recovery[];
}

namespace {

// Error codes of page faults [intel/vol3 figure 4-12].
constexpr u64 kNotPresent = 0;
constexpr u64 kPresent = 1;
constexpr u64 kWrite = 2;
constexpr u64 kFetch = 16;
constexpr u64 kFaulted = u64{1} << 32;  // tells error code 0 from no fault

u64 address_of(const void* pointer) {
    return reinterpret_cast<u64>(pointer);
}

bool handle_fault(InterruptFrame* frame, void*) {
    if (frame->rip == address_of(probe_write_at)) {
        frame->rip = address_of(probe_write_recovery);
    } else if (frame->rip == address_of(probe_read_at)) {
        frame->rip = address_of(probe_read_recovery);
    } else if (frame->error_code & kFetch) {
        // As if the code there had returned.
        frame->rip = *reinterpret_cast<u64*>(frame->rsp);
        frame->rsp += 8;
    } else {
        return false;
    }
    frame->rax = frame->error_code | kFaulted;
    return true;
}

void report_fault(Ktap& ktap, std::string_view name, u64 outcome, u64 expected) {
    Text<100> detail;
    detail.append("outcome ", hex(outcome), ", expected ", hex(expected | kFaulted));
    ktap.report(outcome == (expected | kFaulted), name, detail.view());
}

alignas(16) u8 data_with_ret[16] = {0xc3};
const u8 constant[16] = {1, 2, 3};

void test_rights(Ktap& ktap) {
    u64 text = address_of(reinterpret_cast<const void*>(&probe_write));
    u64 alias = direct_map(image_physical(VirtAddr(text))).value;
    report_fault(ktap, "text can't be written", probe_write(text), kPresent | kWrite);
    report_fault(ktap, "text can't be written through the direct map", probe_write(alias), kPresent | kWrite);
    report_fault(ktap, "text can't be run in the direct map", probe_execute(alias), kPresent | kFetch);
    report_fault(ktap, "constants can't be written", probe_write(address_of(constant)), kPresent | kWrite);
    report_fault(ktap, "constants can't be run", probe_execute(address_of(constant)), kPresent | kFetch);
    report_fault(ktap, "data can't be run", probe_execute(address_of(data_with_ret)), kPresent | kFetch);
    u8 on_stack = 0xc3;
    report_fault(ktap, "stacks can't be run", probe_execute(address_of(&on_stack)), kPresent | kFetch);
    u64 tables = kernel::image_range(kernel::ImageSection::tables).begin.value;
    report_fault(ktap, "the image's tables can't be written", probe_write(tables), kPresent | kWrite);
    report_fault(ktap, "nothing is at null", probe_read(0), kNotPresent);
    report_fault(ktap, "the identity map is gone", probe_read(0x200000), kNotPresent);
}

void test_split_page(Ktap& ktap) {
    auto* page = static_cast<u8*>(kernel::allocate_pages(1, kernel::PageUse::raw));
    VirtAddr at(page);
    bool changed = kernel::protect_pages(at, kPageSize, PageAccess::read_only).has_value();
    flush_tlbs();
    u64 here = probe_write(at.value);
    u64 neighbour = probe_read((at + kPageSize).value);
    auto mapping = translate(at);
    ktap.report(changed && here == (kPresent | kWrite | kFaulted) && neighbour == 0 && mapping &&
                    mapping->access == PageAccess::read_only && mapping->physical == direct_map_physical(at),
                "one page of the direct map becomes read-only");
    changed = kernel::protect_pages(at, kPageSize, PageAccess::read_write).has_value();
    flush_tlbs();
    ktap.report(changed && probe_write(at.value) == 0, "and writable again");
    kernel::release_pages(page);
}

// ---- tasks on all processors ----

constexpr u32 kRounds = 50;

template <typename Argument>
struct Crew {
    std::array<kernel::TaskHandle, kMaxProcessors> handles;
    u32 count = 0;

    Crew(kernel::TaskFunction function, Argument* argument, u32 first = 0) {
        for (u32 index = first; index < processor_count(); ++index) {
            kernel::TaskOptions options;
            options.name = "crew";
            options.processors = u64{1} << index;
            auto handle = kernel::create_task(function, argument, options);
            if (handle) handles[count++] = std::move(*handle);
        }
    }
    void join() {
        for (u32 index = 0; index < count; ++index) handles[index].join();
    }
};

struct WriterView {
    u64 address = 0;
    std::atomic<u32> refused{0};
};

void write_once(void* argument) {
    auto& view = *static_cast<WriterView*>(argument);
    if (probe_write(view.address) == (kPresent | kWrite | kFaulted))
        view.refused.fetch_add(1, std::memory_order_relaxed);
}

void test_flush(Ktap& ktap) {
    auto* page = static_cast<u8*>(kernel::allocate_pages(1, kernel::PageUse::raw));
    WriterView view;
    view.address = address_of(page);
    Crew before(write_once, &view);
    before.join();
    u32 refused_before = view.refused.load(std::memory_order_relaxed);
    (void)kernel::protect_pages(VirtAddr(page), kPageSize, PageAccess::read_only);
    flush_tlbs();
    Crew after(write_once, &view);
    after.join();
    ktap.report(refused_before == 0 && view.refused.load(std::memory_order_relaxed) == processor_count(),
                "every processor follows a change of rights");
    (void)kernel::protect_pages(VirtAddr(page), kPageSize, PageAccess::read_write);
    flush_tlbs();
    kernel::release_pages(page);
}

void synchronise_often(void* argument) {
    auto& rounds = *static_cast<std::atomic<u32>*>(argument);
    for (u32 round = 0; round < kRounds; ++round) {
        if (round % 2 == 0) {
            synchronise_processors();
        } else {
            InterruptsOff off;
            synchronise_processors();
        }
        rounds.fetch_add(1, std::memory_order_relaxed);
    }
}

void test_rounds(Ktap& ktap) {
    std::atomic<u32> rounds{0};
    Crew crew(synchronise_often, &rounds);
    crew.join();
    ktap.report(rounds.load(std::memory_order_relaxed) == kRounds * processor_count(),
                "processors that synchronise at once don't wait for each other for ever");
}

struct Counters {
    std::atomic<bool> stop{false};
    std::array<std::atomic<u64>, kMaxProcessors> counts{};
    std::atomic<u64> wrong{0};
};

void count_up(void* argument) {
    auto& counters = *static_cast<Counters*>(argument);
    while (!counters.stop.load(std::memory_order_relaxed)) {
        InterruptsOff off;
        counters.counts[this_cpu().index].fetch_add(1, std::memory_order_relaxed);
    }
}

bool stopped_correctly(Counters& counters) {
    WorldStopped world;
    u32 own = this_cpu().index;
    std::array<u64, kMaxProcessors> before{};
    for (u32 index = 0; index < processor_count(); ++index)
        before[index] = counters.counts[index].load(std::memory_order_relaxed);
    busy_wait_ns(2'000'000);
    for (u32 index = 0; index < processor_count(); ++index) {
        if (before[index] != counters.counts[index].load(std::memory_order_relaxed)) return false;
        if ((stopped_frame(index) == nullptr) != (index == own)) return false;
    }
    return true;
}

void test_stop(Ktap& ktap) {
    static Counters counters;
    Crew crew(count_up, &counters, 1);
    bool passed = true;
    for (u32 round = 0; round < 20; ++round) passed = stopped_correctly(counters) && passed;
    counters.stop.store(true, std::memory_order_relaxed);
    crew.join();
    ktap.report(passed, "a stopped world stands still");
}

// ---- registers ----

void hook_slot(u64 slot) {
    InterruptsOff off;
    (void)install_return_hook(kernel::current_task().context, VirtAddr(slot), true);
}

void test_hook(Ktap& ktap) {
    bool kept = true, cleared = true;
    for (u32 round = 0; round < kRounds; ++round) {
        Returned returned{};
        call_hooked_leaf(&returned, hook_slot);
        kept = kept && returned.rax == 0x1122334455667788 && returned.rdx == 0x99aabbccddeeff00 &&
               returned.xmm_low == returned.rax && returned.xmm_high == returned.rdx && returned.carry == 1;
        cleared = cleared && kernel::current_task().context.hook.slot == 0;
    }
    ktap.report(kept, "a return hook keeps what a return carries");
    ktap.report(cleared, "a return hook is gone once it has fired");

    u64 word = 0x1234;
    Context context;
    bool misaligned = !install_return_hook(context, VirtAddr(address_of(&word) & ~u64{15}), false);
    alignas(16) u64 slots[2] = {1, 0x1234};
    bool installed = install_return_hook(context, VirtAddr(&slots[1]), false) &&
                     slots[1] == address_of(graft_return_hook) &&
                     !install_return_hook(context, VirtAddr(&slots[1]), false);
    bool taken_off = take_off_return_hook(context, false) && slots[1] == 0x1234 && context.hook.slot == 0;
    ktap.report(misaligned && installed && taken_off, "a waiting hook can be taken off");
    bool again = install_return_hook(context, VirtAddr(&slots[1]), false);
    slots[1] = 0;
    ktap.report(again && !take_off_return_hook(context, false) && context.hook.slot != 0,
                "a firing hook is left to its routine");
}

struct SseTask {
    u64 value;
    std::atomic<u64>* wrong;
};

void keep_in_registers(void* argument) {
    auto& task = *static_cast<SseTask*>(argument);
    for (u32 round = 0; round < kRounds; ++round) {
        u64 low = 0, x87 = 0;
        asm volatile("movq %0, %%xmm7\n\tfildll %0" ::"m"(task.value) : "xmm7");
        kernel::yield();
        asm volatile("movq %%xmm7, %0\n\tfistpll %1" : "=m"(low), "=m"(x87)::"xmm7");
        if (low != task.value || x87 != task.value) task.wrong->fetch_add(1, std::memory_order_relaxed);
    }
}

void test_sse(Ktap& ktap) {
    constexpr u32 kTasks = 16;
    std::atomic<u64> wrong{0};
    std::array<SseTask, kTasks> arguments;
    std::array<kernel::TaskHandle, kTasks> handles;
    for (u32 index = 0; index < kTasks; ++index) {
        arguments[index] = {index * 0x1'0001 + 1, &wrong};
        auto handle = kernel::create_task(keep_in_registers, &arguments[index], {.name = "sse"});
        if (handle)
            handles[index] = std::move(*handle);
        else
            wrong.fetch_add(1, std::memory_order_relaxed);
    }
    for (auto& handle : handles)
        if (handle) handle.join();
    ktap.report(wrong.load(std::memory_order_relaxed) == 0, "tasks keep their SSE and x87 registers");
}

// ---- text ----

// A write takes four rounds of all processors, and a round takes milliseconds under an emulator with busy processors.
constexpr u32 kTextWrites = 12;

[[gnu::noinline]] u32 old_version(u32 value) {
    asm volatile("");
    return value + 1;
}
[[gnu::noinline]] u32 new_version(u32 value) {
    asm volatile("");
    return value + 2;
}

void call_often(void* argument) {
    auto& counters = *static_cast<Counters*>(argument);
    while (!counters.stop.load(std::memory_order_relaxed)) {
        u32 result = old_version(1);
        if (result != 2 && result != 3) counters.wrong.fetch_add(1, std::memory_order_relaxed);
        counters.counts[0].fetch_add(1, std::memory_order_relaxed);
    }
}

// What calls must yield now, in the low byte, and which write that was, above it; 0 while a write is under way.
std::atomic<u64> settled{0};

void call_and_compare(void* argument) {
    auto& counters = *static_cast<Counters*>(argument);
    while (!counters.stop.load(std::memory_order_relaxed)) {
        u64 before = settled.load(std::memory_order_acquire);
        u32 result = old_version(1);
        u64 after = settled.load(std::memory_order_acquire);
        if (before == 0 || before != after) continue;
        if (result != (before & 0xff)) counters.wrong.fetch_add(1, std::memory_order_relaxed);
        counters.counts[0].fetch_add(1, std::memory_order_relaxed);
    }
}

VirtAddr entry_of(u32 (*function)(u32)) {
    return VirtAddr(reinterpret_cast<u64>(function));
}

void test_text(Ktap& ktap) {
    static Counters counters;
    Crew crew(call_often, &counters, 1);
    bool wrote = true, followed = true;
    for (u32 round = 0; round < kTextWrites; ++round) {
        bool back = round % 2 != 0;
        SiteWrite write{entry_of(old_version), back ? VirtAddr{} : entry_of(new_version)};
        wrote = write_sites({&write, 1}).has_value() && wrote;
        followed = old_version(1) == (back ? 2u : 3u) && followed;
    }
    counters.stop.store(true, std::memory_order_relaxed);
    crew.join();
    Text<100> detail;
    detail.append("calls ", counters.counts[0].load(std::memory_order_relaxed), ", wrong ",
                  counters.wrong.load(std::memory_order_relaxed));
    ktap.report(wrote && counters.wrong.load(std::memory_order_relaxed) == 0,
                "a call site that is written all the time leads to one of both", detail.view());
    ktap.report(followed, "after a write the writer's own calls follow it");

    SiteWrite inside{VirtAddr(entry_of(old_version) + 1), entry_of(new_version)};
    auto unknown = write_sites({&inside, 1});
    ktap.report(!unknown && unknown.error().failure == SiteWriteFailure::unknown_site,
                "what is no call site is refused");
    SiteWrite far{entry_of(old_version), VirtAddr(0x1000)};
    auto refused = write_sites({&far, 1});
    ktap.report(!refused && refused.error().failure == SiteWriteFailure::out_of_reach && old_version(1) == 2,
                "a target out of reach is refused");
}

// Once a write has returned, no processor may run the old bytes or meet a breakpoint: an emulator's translations are
// what makes this hard (arch/x86_64/pure/poke_plan.h).
void test_settled(Ktap& ktap) {
    constexpr u64 kQuietNs = 5'000'000;
    static Counters counters;
    Crew crew(call_and_compare, &counters, processor_count() > 1 ? 1 : 0);
    bool wrote = true;
    u64 late_breakpoints = 0;
    for (u64 round = 0; round < kTextWrites; ++round) {
        bool back = round % 2 != 0;
        SiteWrite write{entry_of(old_version), back ? VirtAddr{} : entry_of(new_version)};
        wrote = write_sites({&write, 1}).has_value() && wrote;
        u64 breakpoints = breakpoints_at_call_sites();
        settled.store((round + 1) << 8 | (back ? 2 : 3), std::memory_order_release);
        kernel::sleep_ns(kQuietNs);
        settled.store(0, std::memory_order_release);
        late_breakpoints += breakpoints_at_call_sites() - breakpoints;
    }
    counters.stop.store(true, std::memory_order_relaxed);
    crew.join();
    u64 stale = counters.wrong.load(std::memory_order_relaxed);
    u64 calls = counters.counts[0].load(std::memory_order_relaxed);
    Text<100> detail;
    detail.append("calls ", calls, ", old ones ", stale, ", late breakpoints ", late_breakpoints);
    ktap.report(wrote && calls > 0 && stale == 0, "after a write nobody runs the old bytes", detail.view());
    ktap.report(late_breakpoints == 0, "after a write nobody meets a breakpoint", detail.view());
}

// ---- the clock ----

void test_clock(Ktap& ktap) {
    bool monotonic = true;
    u64 last = now_ns();
    for (u32 round = 0; round < 100'000; ++round) {
        InterruptsOff off;
        u64 first = now_ns();
        u64 second = now_ns();
        monotonic = monotonic && second >= first;
        last = second;
    }
    ktap.report(monotonic && last > 0, "the clock doesn't go back");
    u64 begin = now_ns();
    kernel::sleep_ns(20'000'000);
    u64 slept = now_ns() - begin;
    ktap.report(slept >= 20'000'000, "a sleep isn't short");
}

}  // namespace

}  // namespace graft

void app_main(const graft::kernel::CommandLine&) {
    using namespace graft;
    kernel::set_exception_handler(arch::kVectorPageFault, handle_fault, nullptr);
    Ktap ktap(28);
    test_rights(ktap);
    test_split_page(ktap);
    test_flush(ktap);
    test_rounds(ktap);
    test_stop(ktap);
    test_hook(ktap);
    test_sse(ktap);
    test_text(ktap);
    test_settled(ktap);
    test_clock(ktap);
    ktap.finish();
}
