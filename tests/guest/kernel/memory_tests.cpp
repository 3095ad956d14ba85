#include <array>
#include <cstring>
#include <memory>
#include <new>

#include "arch/x86_64/paging.h"
#include "kernel/code_map.h"
#include "kernel/image.h"
#include "kernel/memory.h"
#include "kernel/stacks.h"
#include "kernel/task.h"
#include "tests/guest/kernel/tests.h"
#include "tests/guest/shared/ktap.h"

namespace graft::tests {

namespace {

// Allocates, fills, checks and releases objects of many sizes; the seed makes runs differ.
bool exercise_heap(u32 seed) {
    std::array<u8*, 64> objects{};
    std::array<u32, 64> sizes{};
    for (u32 step = 0; step < 3000; ++step) {
        seed = seed * 1664525 + 1013904223;
        u32 slot = seed >> 8 & 63;
        if (objects[slot]) {
            for (u32 i = 0; i < sizes[slot]; ++i) {
                if (objects[slot][i] != static_cast<u8>(slot)) return false;
            }
            kernel::heap_release(objects[slot]);
            objects[slot] = nullptr;
            continue;
        }
        sizes[slot] = (seed >> 16) % ((seed & 15) == 0 ? 9000 : 600);
        objects[slot] = static_cast<u8*>(kernel::heap_allocate(sizes[slot]));
        if (!objects[slot]) return false;
        std::memset(objects[slot], static_cast<int>(slot), sizes[slot]);
    }
    for (u8* object : objects) kernel::heap_release(object);
    return true;
}

struct Share {
    u32 seed = 0;
    bool passed = false;
};

void exercise_task(void* argument) {
    auto& share = *static_cast<Share*>(argument);
    share.passed = exercise_heap(share.seed);
}

}  // namespace

const char* heap_gives_back_all() {
    KTAP_CHECK(exercise_heap(1));
    // The system's own tasks use the heap as well, now and then; what is lost here is lost each time.
    for (u32 round = 0; round < 10; ++round) {
        auto before = kernel::heap_statistics();
        KTAP_CHECK(exercise_heap(2));
        auto after = kernel::heap_statistics();
        if (after.objects == before.objects && after.bytes == before.bytes) return nullptr;
    }
    return "objects are left after each of ten rounds";
}

const char* heap_from_many_tasks() {
    std::array<Share, 8> shares{};
    std::array<kernel::TaskHandle, 8> handles;
    for (u32 i = 0; i < shares.size(); ++i) {
        shares[i].seed = i * 77 + 3;
        auto handle = kernel::create_task(exercise_task, &shares[i], {});
        KTAP_CHECK(handle);
        handles[i] = std::move(*handle);
    }
    for (auto& handle : handles) handle.join();
    for (const Share& share : shares) KTAP_CHECK(share.passed);
    return nullptr;
}

const char* new_and_delete() {
    struct alignas(64) Wide {
        u8 bytes[192];
    };
    auto before = kernel::heap_statistics();
    {
        auto wide = std::make_unique<Wide>();
        KTAP_CHECK(VirtAddr(wide.get()).is_aligned(64));
        auto words = std::make_unique<u64[]>(1000);
        KTAP_CHECK(words[999] == 0);
        std::unique_ptr<u8[]> huge(new (std::nothrow) u8[u64{1} << 40]);
        KTAP_CHECK(!huge);
    }
    KTAP_CHECK(kernel::heap_statistics().objects == before.objects);
    return nullptr;
}

const char* stacks_have_guards() {
    auto stack = kernel::allocate_stack(kernel::kDefaultStackSize);
    KTAP_CHECK(stack);
    KTAP_CHECK(stack->size() == kernel::kDefaultStackSize);
    KTAP_CHECK(arch::translate(stack->begin));
    KTAP_CHECK(!arch::translate(VirtAddr(stack->begin - 1)));
    KTAP_CHECK(!arch::translate(stack->end));
    KTAP_CHECK(kernel::is_stack_guard(VirtAddr(stack->begin - 1)));
    KTAP_CHECK(!kernel::is_stack_guard(stack->begin));
    kernel::release_stack(*stack);
    auto large = kernel::allocate_stack(256 * 1024);
    KTAP_CHECK(large);
    std::memset(large->begin.as<void>(), 1, large->size());
    kernel::release_stack(*large);
    KTAP_CHECK(!arch::translate(large->begin));
    return nullptr;
}

// Its pages are unmapped and ordinary memory, and nobody takes it for code.
const char* boot_code_is_gone() {
    AddressRange text = kernel::image_range(kernel::ImageSection::init_text);
    KTAP_CHECK(text.size() > 4 * arch::kPageSize);
    for (VirtAddr page = text.begin; page < text.end; page += arch::kPageSize) {
        auto mapped = arch::translate(page);
        KTAP_CHECK(!mapped && mapped.error().failure == arch::PagingFailure::not_mapped);
        auto memory = arch::translate(arch::direct_map(arch::image_physical(page)));
        KTAP_CHECK(memory && memory->access == arch::PageAccess::read_write);
        KTAP_CHECK(!kernel::code_map().is_text(page + 16));
        KTAP_CHECK(kernel::code_map().text_before(page + 32, 8).empty());
    }
    VirtAddr behind = kernel::image_range(kernel::ImageSection::text).begin;
    KTAP_CHECK(kernel::code_map().is_text(behind));
    return nullptr;
}

}  // namespace graft::tests
