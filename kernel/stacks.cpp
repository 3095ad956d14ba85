#include "kernel/stacks.h"

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/sync.h"
#include "base/assert.h"
#include "kernel/lock.h"
#include "kernel/memory.h"
#include "kernel/pure/address_space.h"
#include "kernel/task.h"

namespace graft::kernel {

namespace {

// 1 GiB of addresses: 50,000 default stacks with their guard pages.
constexpr u64 kRegionSize = u64{1} << 30;
// The part whose page tables exist from the start: some hundred tasks may come and go without taking memory that stays.
constexpr u64 kPreparedSize = u64{16} << 20;
constexpr usize kKept = 128;

struct Stacks {
    AddressSpace addresses;
    std::array<AddressRange, kKept> kept{};
    usize kept_count = 0;
    u64 in_use = 0;
};

constinit Guarded<Stacks, LockRank::mapping> stacks;
constinit std::array<u64, kRegionSize / kPageSize / 64> address_bits{};

std::optional<AddressRange> reuse(usize size) {
    return stacks.with([&](Stacks& all) -> std::optional<AddressRange> {
        if (size != kDefaultStackSize || all.kept_count == 0) return std::nullopt;
        ++all.in_use;
        return all.kept[--all.kept_count];
    });
}

void give_back_address(AddressRange stack) {
    stacks.with([&](Stacks& all) { all.addresses.release(stack.begin, stack.size() / kPageSize); });
}

// Unmaps the stacks, makes every processor forget them, and releases pages and addresses.
void destroy(std::span<const AddressRange> doomed) {
    std::array<PhysAddr, kKept> pages{};
    GRAFT_ASSERT(doomed.size() <= pages.size());
    for (usize i = 0; i < doomed.size(); ++i) {
        auto mapping = arch::translate(doomed[i].begin);
        GRAFT_ASSERT(mapping);
        pages[i] = mapping->physical;
        auto unmapped = unmap_pages(doomed[i].begin, doomed[i].size());
        GRAFT_ASSERT(unmapped);
    }
    arch::flush_tlbs();
    for (usize i = 0; i < doomed.size(); ++i) {
        release_pages(arch::direct_map(pages[i]).as<void>());
        give_back_address(doomed[i]);
    }
}

}  // namespace

void init_stacks() {
    prepare_page_tables(AddressRange::of(arch::kStackRegion.begin, kPreparedSize));
    stacks.with([](Stacks& all) {
        all.addresses.initialise(AddressRange::of(arch::kStackRegion.begin, kRegionSize), address_bits, 0);
    });
}

std::optional<AddressRange> allocate_stack(usize size) {
    u64 pages = pages_for(size);
    if (auto kept = reuse(pages * kPageSize)) return kept;
    void* memory = allocate_pages(pages, PageUse::stack);
    if (!memory) return std::nullopt;
    auto begin = stacks.with([&](Stacks& all) { return all.addresses.allocate(pages); });
    if (begin) {
        AddressRange stack = AddressRange::of(*begin, pages * kPageSize);
        PhysAddr physical = arch::direct_map_physical(VirtAddr(memory));
        if (map_pages(stack.begin, physical, stack.size(), arch::PageAccess::read_write)) {
            stacks.with([](Stacks& all) { ++all.in_use; });
            return stack;
        }
        give_back_address(stack);
    }
    release_pages(memory);
    return std::nullopt;
}

void release_stack(AddressRange stack) {
    std::array<AddressRange, kKept> doomed{};
    usize doomed_count = 0;
    stacks.with([&](Stacks& all) {
        --all.in_use;
        if (stack.size() != kDefaultStackSize) {
            doomed[doomed_count++] = stack;
            return;
        }
        if (all.kept_count == kKept) {
            for (usize i = 0; i < kKept / 2; ++i) doomed[doomed_count++] = all.kept[--all.kept_count];
        }
        all.kept[all.kept_count++] = stack;
    });
    if (doomed_count != 0) destroy({doomed.data(), doomed_count});
}

bool is_stack_guard(VirtAddr address) {
    // No lock: asked on the way to a panic. The region begins with a guard page.
    if (!AddressRange::of(arch::kStackRegion.begin, kRegionSize).contains(address)) return false;
    u64 page = (address - arch::kStackRegion.begin) / kPageSize;
    return (address_bits[page / 64] >> (page % 64) & 1) == 0;
}

StackStatistics stack_statistics() {
    return stacks.with([](Stacks& all) { return StackStatistics{all.in_use, all.kept_count}; });
}

}  // namespace graft::kernel
