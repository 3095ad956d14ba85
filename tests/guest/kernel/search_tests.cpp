// The search for references while the system runs: what moves about between its two steps is found, and what stays is
// not looked at twice. That each kind of place is searched at all is among the tests of the patch machine, too.

#include <array>
#include <atomic>
#include <cstring>

#include "arch/x86_64/cpu.h"
#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/sync.h"
#include "kernel/clock.h"
#include "kernel/interrupts.h"
#include "kernel/memory.h"
#include "kernel/mutex.h"
#include "kernel/timers.h"
#include "tests/guest/kernel/patch_support.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using patch::Reference;

// Text and data of a patch that isn't one, for as long as a test lasts.
class Target {
public:
    Target() : guard_(machine), memory_(machine.reserve({4096, 0, 8192})) {}
    ~Target() {
        if (memory_) machine.release_memory(*memory_);
    }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

    bool is_there() const { return memory_.has_value(); }
    AddressRange text() const { return memory_->text; }
    AddressRange data() const { return memory_->data; }
    // From now on the text is executable: it waits until the byte that it is given isn't 0, and returns.
    bool seal_waiting_code() {
        constexpr u8 kCode[] = {0xf3, 0x90, 0x80, 0x3f,
                                0x00, 0x74, 0xf9, 0xc3};  // 1: pause; cmpb $0, (%rdi); je 1b; ret
        std::memcpy(text().begin.as<void>(), kCode, sizeof(kCode));
        return machine.seal(*memory_).has_value();
    }
    u64 word() const { return memory_->text.begin.value + 8; }

private:
    patch::MachineGuard guard_;
    patch::MachineResult<patch::PatchMemory> memory_;
};

void prepare(AddressRange range) {
    const AddressRange ranges[] = {range};
    machine.prepare_search(ranges);
}

Found prepare_and_search(AddressRange range) {
    prepare(range);
    return search(range);
}

volatile u64 word_in_data = 0;

// Places where a word may lie, each in a page of its own.
struct Places {
    static constexpr usize kCount = 5;

    explicit Places(const Target& target)
        : large(static_cast<u64*>(kernel::heap_allocate(3 * kernel::kPageSize))),
          small(static_cast<u64*>(kernel::heap_allocate(1344))),
          raw(static_cast<u64*>(kernel::allocate_pages(2, kernel::PageUse::raw))),
          all{&word_in_data, large + 1024, small + 7, raw + 600, target.data().begin.as<u64>() + 700} {
        clear();
    }
    ~Places() {
        clear();
        kernel::heap_release(large);
        kernel::heap_release(small);
        kernel::release_pages(raw);
    }
    Places(const Places&) = delete;
    Places& operator=(const Places&) = delete;

    void clear() {
        for (volatile u64* place : all) *place = 0;
    }

    u64* large;
    u64* small;
    u64* raw;
    std::array<volatile u64*, kCount> all;
};

constexpr Reference::Kind kKinds[Places::kCount] = {Reference::Kind::data, Reference::Kind::heap, Reference::Kind::heap,
                                                    Reference::Kind::heap, Reference::Kind::patch_data};

}  // namespace

// Without the dirty bits the second step would believe what the first one saw.
const char* search_follows_what_moves() {
    Target target;
    KTAP_CHECK(target.is_there());
    Places places(target);
    KTAP_CHECK(prepare_and_search(target.text()).total == 0);
    for (usize from = 0; from < Places::kCount; ++from) {
        for (usize to = 0; to < Places::kCount; ++to) {
            places.clear();
            *places.all[from] = target.word();
            prepare(target.text());
            *places.all[to] = target.word();
            if (from != to) *places.all[from] = 0;
            Found found = search(target.text());
            if (found.total != 1 || found.of(kKinds[to]) != 1) return "a word that moved isn't found where it is";
        }
    }
    return nullptr;
}

const char* search_forgets_what_has_gone() {
    Target target;
    KTAP_CHECK(target.is_there());
    Places places(target);
    for (volatile u64* place : places.all) {
        *place = target.word();
        prepare(target.text());
        *place = 0;
        KTAP_CHECK(search(target.text()).total == 0);
    }
    return nullptr;
}

namespace {

// By an address that isn't watched and is gone afterwards: no dirty bit that counts is set.
bool write_secretly(u64* page, usize index, u64 word) {
    VirtAddr at = arch::kHeapRegion.begin;
    PhysAddr physical = arch::direct_map_physical(VirtAddr(page));
    if (!kernel::map_pages(at, physical, kernel::kPageSize, arch::PageAccess::read_write)) return false;
    at.as<volatile u64>()[index] = word;
    bool unmapped = kernel::unmap_pages(at, kernel::kPageSize).has_value();
    arch::flush_tlbs();
    return unmapped;
}

// Has the allocator give out that very page again, which was released last.
bool allocate_again(u64* page) {
    std::array<void*, 64> others{};
    usize count = 0;
    bool found = false;
    while (!found && count < others.size()) {
        void* given = kernel::allocate_pages(1, kernel::PageUse::raw);
        if (!given) break;
        found = given == page;
        if (!found) others[count++] = given;
    }
    while (count != 0) kernel::release_pages(others[--count]);
    return found;
}

}  // namespace

// A page that was looked through, given back, and given out again with other contents.
const char* search_sees_new_memory() {
    Target target;
    KTAP_CHECK(target.is_there());
    auto* page = static_cast<u64*>(kernel::allocate_pages(1, kernel::PageUse::raw));
    KTAP_CHECK(page);
    KTAP_CHECK(write_secretly(page, 3, 0));  // has the page tables made, which may not take the page later
    prepare(target.text());
    kernel::release_pages(page);
    bool is_written = write_secretly(page, 3, target.word());
    bool is_same = allocate_again(page);
    Found found = search(target.text());
    if (is_same) {
        page[3] = 0;
        kernel::release_pages(page);
    }
    KTAP_CHECK(is_written && is_same);
    KTAP_CHECK(found.total == 1 && found.of(Reference::Kind::heap) == 1);
    return nullptr;
}

namespace {

// Two words far from each other, of which at each moment at least one is the address, for about as long each.
struct Juggler {
    volatile u64* low = nullptr;
    volatile u64* high = nullptr;
    u64 masked = 0;
    std::atomic<bool> stop{false};
    std::atomic<u64> throws{0};
};

constexpr u64 kMask = 0x5555'5555'5555'5555;

void hold(u64 rounds) {
    for (u64 i = 0; i < rounds; ++i) arch::pause();
}

void juggle(void* argument) {
    auto& juggler = *static_cast<Juggler*>(argument);
    while (!juggler.stop.load(std::memory_order_relaxed)) {
        *juggler.high = juggler.masked ^ kMask;
        *juggler.low = 0;
        hold(500);
        *juggler.low = juggler.masked ^ kMask;
        *juggler.high = 0;
        hold(500);
        juggler.throws.fetch_add(1, std::memory_order_relaxed);
    }
    *juggler.low = 0;
}

}  // namespace

const char* search_isn_t_outrun() {
    constexpr u64 kPages = 512;
    constexpr u32 kSearches = 20;
    Target target;
    KTAP_CHECK(target.is_there());
    auto* memory = static_cast<u64*>(kernel::heap_allocate(kPages * kernel::kPageSize));
    KTAP_CHECK(memory);
    Juggler juggler;
    juggler.masked = target.word() ^ kMask;
    juggler.low = memory;
    juggler.high = memory + (kPages - 1) * (kernel::kPageSize / sizeof(u64));
    auto task = kernel::create_task(juggle, &juggler, {});
    KTAP_CHECK(task);
    u32 missed = 0;
    for (u32 i = 0; i < kSearches; ++i) {
        u64 before = juggler.throws.load(std::memory_order_relaxed);
        while (juggler.throws.load(std::memory_order_relaxed) == before) kernel::yield();
        prepare(target.text());
        Found found = search(target.text());
        if (found.of(Reference::Kind::heap) == 0) ++missed;
    }
    juggler.stop.store(true, std::memory_order_relaxed);
    task->join();
    u32 after = prepare_and_search(target.text()).total;
    kernel::heap_release(memory);
    KTAP_CHECK(missed == 0);
    KTAP_CHECK(after == 0);
    return nullptr;
}

// The point of it all: little is left for the time when the processors stand still.
const char* search_stops_for_little() {
    constexpr u64 kPages = 2048;
    Target target;
    KTAP_CHECK(target.is_there());
    u64 tables = kernel::page_statistics().by_use[static_cast<usize>(kernel::PageUse::tables)];
    auto* memory = static_cast<u64*>(kernel::heap_allocate(kPages * kernel::kPageSize));
    KTAP_CHECK(memory);
    for (u64 i = 0; i < kPages; ++i) memory[i * 512] = i;
    Found whole = search(target.text());
    Found prepared = prepare_and_search(target.text());
    // The first write to a page of 2 MiB that is still mapped whole leaves all its 512 pages for the pause; what was
    // written is among what they hold.
    prepare(target.text());
    memory[1000 * 512] = target.word();
    Found written = search(target.text());
    memory[1000 * 512] = 0;
    kernel::heap_release(memory);
    u64 tables_after = kernel::page_statistics().by_use[static_cast<usize>(kernel::PageUse::tables)];
    KTAP_CHECK(whole.report.passes == 0 && whole.report.stopped_pages >= kPages);
    KTAP_CHECK(prepared.report.passes >= 1 && prepared.report.pages >= kPages);
    KTAP_CHECK(prepared.report.stopped_pages < kPages / 4);
    KTAP_CHECK(prepared.report.stopped_ns < whole.report.stopped_ns);
    KTAP_CHECK(written.total == 1);
    KTAP_CHECK(tables_after == tables);
    return nullptr;
}

namespace {

struct Planter {
    u64 masked = 0;
    kernel::Semaphore gate;
};

// The address is in a register that calls keep, and so on the stack of whoever waits.
void keep_in_register(void* argument) {
    auto& planter = *static_cast<Planter*>(argument);
    register u64 kept asm("r15") = planter.masked ^ kMask;
    asm volatile("" : "+r"(kept));
    planter.gate.wait();
    asm volatile("" : "+r"(kept));
    kept = 0;
    asm volatile("" : "+r"(kept));
}

bool handle_nothing(arch::InterruptFrame*, void*) {
    return false;
}

}  // namespace

const char* search_finds_each_kind() {
    constexpr u32 kUnusedVector = 21;
    Target target;
    KTAP_CHECK(target.is_there());
    u64 word = target.word();

    auto* in_heap = new kernel::Timer(reinterpret_cast<void (*)(void*)>(word), nullptr);
    in_heap->set(kernel::now_ns() + 3'600'000'000'000);
    Found pending = prepare_and_search(target.text());
    (void)in_heap->cancel();
    delete in_heap;

    kernel::set_exception_handler(kUnusedVector, reinterpret_cast<kernel::ExceptionHandler>(word), nullptr);
    Found handler = prepare_and_search(target.text());
    kernel::set_exception_handler(kUnusedVector, handle_nothing, nullptr);

    Planter planter;
    planter.masked = word ^ kMask;
    auto keeper = kernel::create_task(keep_in_register, &planter, {});
    KTAP_CHECK(keeper && eventually([&] { return is_blocked(*keeper); }));
    Found saved = prepare_and_search(target.text());
    planter.gate.post();
    keeper->join();

    std::atomic<bool> may_return{false};
    KTAP_CHECK(target.seal_waiting_code());
    auto inside = kernel::create_task(target.text().begin.as<void(void*)>(), &may_return, {});
    KTAP_CHECK(inside);
    kernel::sleep_ns(20'000'000);
    Found entered = prepare_and_search(target.text());
    may_return.store(true, std::memory_order_relaxed);
    inside->join();
    u64 inside_id = inside->id();
    inside->detach();  // the last to keep the task's record, and with it the entry
    Found after = prepare_and_search(target.text());

    KTAP_CHECK(pending.total == 1 && pending.of(Reference::Kind::heap) == 1);
    KTAP_CHECK(handler.total == 1 && handler.of(Reference::Kind::interrupt_handler) == 1);
    KTAP_CHECK(saved.of(Reference::Kind::stack) == 1 && saved.last.owner == keeper->id());
    KTAP_CHECK(entered.of(Reference::Kind::task_entry) == 1);
    KTAP_CHECK(entered.of(Reference::Kind::stack) >= 1 && entered.last.owner == inside_id);
    KTAP_CHECK(after.total == 0);
    return nullptr;
}

}  // namespace graft::tests
