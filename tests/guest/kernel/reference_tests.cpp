// What points into a patch: each kind of place by itself. How the search goes on beside a running system is
// search_tests.cpp's.

#include <atomic>

#include "kernel/memory.h"
#include "kernel/mutex.h"
#include "tests/guest/kernel/patch_support.h"
#include "tests/guest/kernel/tests.h"

namespace graft::tests {

namespace {

using patch::Reference;

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
