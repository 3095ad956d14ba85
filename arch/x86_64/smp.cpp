#include "arch/x86_64/smp.h"

#include <atomic>
#include <cstring>

#include "arch/x86_64/apic.h"
#include "arch/x86_64/clock.h"
#include "arch/x86_64/cpu.h"
#include "arch/x86_64/permanent/state.h"
#include "arch/x86_64/processor_setup.h"
#include "base/assert.h"

extern "C" {
extern const char graft_low_page_begin[], graft_low_page_parameters[], graft_low_page_end[];
void graft_processor_entry();
}

namespace graft::arch {

namespace {

// The block at graft_low_page_parameters. The three pointers hold offsets until the page's address is added.
struct [[gnu::packed]] LowPage {
    u16 gdt_limit;
    u32 gdt_base;
    u16 padding;
    u32 protected_mode;
    u16 protected_selector;
    u16 padding2;
    u32 long_mode;
    u16 long_selector;
    u16 padding3;
    u64 page_table;
    u64 stack;
    u64 argument;
    u64 entry;
};
static_assert(sizeof(LowPage) == 56);

// What the started processor takes along.
struct Start {
    PerCpu* cpu;
    ProcessorEntry entry;
    void* argument;
};

constexpr usize kEntries = 512;
constexpr u64 kLowLimit = 0x10'0000;
constexpr u64 kTableRights = 0x3;
constexpr u64 kLowPageRights = 0x1;      // present, read and execute: it is written through the direct map
constexpr u64 kInitNs = 10'000'000;      // [intel/vol3 §8.4.4.1]
constexpr u64 kVirtualInitNs = 100'000;  // a virtual processor has no circuits that must settle
constexpr u64 kStartupNs = 200'000;

using Table = std::array<u64, kEntries>;
// The address space in which processors start: the kernel's upper half, and the low page at its own address. Below 4
// GiB as the image is, since CR3 is loaded before long mode.
alignas(kPageSize) Table top, upper, middle, bottom;

PhysAddr low_page;
Start start;
// Whether the processor being started has arrived. Pairs: release in graft_processor_started(), acquire in
// wait_for_arrival().
std::atomic<bool> arrived{false};
// Whether it may go on, being counted. Pairs: release in start_processor(), acquire in graft_processor_started().
std::atomic<bool> released{false};

u64 physical_of(const Table& table) {
    return image_physical(VirtAddr(&table)).value;
}

LowPage& parameters() {
    u64 offset = static_cast<u64>(graft_low_page_parameters - graft_low_page_begin);
    return *direct_map(low_page + offset).as<LowPage>();
}

void fill_low_page(VirtAddr stack_top) {
    usize size = static_cast<usize>(graft_low_page_end - graft_low_page_begin);
    std::memcpy(direct_map(low_page).as<void>(), graft_low_page_begin, size);
    auto base = static_cast<u32>(low_page.value);
    LowPage& page = parameters();
    page.gdt_base += base;
    page.protected_mode += base;
    page.long_mode += base;
    page.page_table = physical_of(top);
    page.stack = stack_top.value;
    page.entry = reinterpret_cast<u64>(graft_processor_entry);
}

bool wait_for_arrival(u64 duration_ns) {
    u64 end = now_ns() + duration_ns;
    while (now_ns() < end) {
        if (arrived.load(std::memory_order_acquire)) return true;
        pause();
    }
    return arrived.load(std::memory_order_acquire);
}

bool is_virtual() {
    constexpr u32 kHypervisorPresent = 1u << 31;
    return (cpuid(1).ecx & kHypervisorPresent) != 0;
}

bool wake(u32 apic_id) {
    auto startup = permanent::kCommandStartup | static_cast<u32>(low_page.value / kPageSize);
    permanent::send_command(apic_id, permanent::kCommandInit);
    busy_wait_ns(is_virtual() ? kVirtualInitNs : kInitNs);
    for (u64 patience : {kStartupNs, kStartTimeoutNs}) {
        permanent::send_command(apic_id, startup);
        if (wait_for_arrival(patience)) return true;
    }
    return false;
}

}  // namespace

void init_smp(PhysAddr page) {
    GRAFT_ASSERT(page && page.is_aligned(kPageSize) && page.value < kLowLimit);
    low_page = page;
    auto* kernel = direct_map(kernel_page_table()).as<const u64>();
    for (usize index = kEntries / 2; index < kEntries; ++index) top[index] = kernel[index];
    top[0] = physical_of(upper) | kTableRights;
    upper[0] = physical_of(middle) | kTableRights;
    middle[0] = physical_of(bottom) | kTableRights;
    bottom[page.value / kPageSize] = page.value | kLowPageRights;
}

Result<u32, StartFailure> start_processor(u32 apic_id, VirtAddr stack_top, ProcessorEntry entry, void* argument,
                                          PageSource& source) {
    u32 index = permanent::processor_count.load(std::memory_order_acquire);
    if (index == kMaxProcessors) return fail(StartFailure::too_many);
    // Eight bits address a processor in xAPIC mode; 255 means all.
    if (!low_page || (!permanent::is_x2apic && apic_id >= 0xff)) return fail(StartFailure::unsuitable);
    PerCpu* cpu = make_processor(index, apic_id, source);
    if (!cpu) return fail(StartFailure::no_memory);

    start = {cpu, entry, argument};
    arrived.store(false, std::memory_order_relaxed);
    released.store(false, std::memory_order_relaxed);
    fill_low_page(stack_top);
    if (!wake(apic_id)) {
        // Whenever it still comes, it finds no way into the kernel.
        parameters().page_table = 0;
        permanent::send_command(apic_id, permanent::kCommandInit);
        return fail(StartFailure::no_answer);
    }
    permanent::processor_count.store(index + 1, std::memory_order_release);
    released.store(true, std::memory_order_release);
    return index;
}

extern "C" [[noreturn]] void graft_processor_started() {
    Start own = start;
    write_cr3(kernel_page_table().value);
    load_processor(*own.cpu);
    enable_local_apic();
    arrived.store(true, std::memory_order_release);
    while (!released.load(std::memory_order_acquire)) pause();
    // A round that began before this processor was counted didn't ask it: it answers now, before it runs anything else.
    permanent::answer();
    own.entry(*own.cpu, own.argument);
    GRAFT_ASSERT(false);
    halt_for_ever();
}

}  // namespace graft::arch
