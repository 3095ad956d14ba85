// Memory: page frames, the two heaps over them, and changes of mappings. The heap is what operator new uses; its live
// objects are searched for references to patches. The records heap belongs to the patch core and is not searched.
//
// All pages are reached through the direct map.
#pragma once

#include <span>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/paging.h"
#include "base/types.h"
#include "kernel/pure/heap.h"
#include "kernel/pure/page_allocator.h"

namespace graft::kernel {

// `usable`: RAM that nobody uses, mapped in the direct map. The allocator's own records are taken from it.
// Context: boot processor, once, after arch::init_paging(), before anything below.
void init_memory(std::span<const arch::PhysRange> usable);

// Where page tables come from after init_memory().
arch::PageSource& table_pages();

// ---- pages: consecutive, addressed in the direct map; null when there are none. Context: any.
[[nodiscard]] void* allocate_pages(u64 count, PageUse use);
void release_pages(void* pages);
u64 page_count(const void* pages);
[[nodiscard]] PageStatistics page_statistics();

// Where pages of use `patch` come from first, in the direct map; empty on a very small machine.
[[nodiscard]] AddressRange patch_arena();

// Calls visit(VirtAddr begin, u64 size) for every live object of the searched heap and every page of raw use.
// Context: the world is stopped, since no lock is taken.
class LiveMemoryVisitor {
public:
    virtual void visit(VirtAddr begin, u64 size) = 0;

protected:
    ~LiveMemoryVisitor() = default;
};
void for_each_live_memory(LiveMemoryVisitor& visitor);

// ---- the heap: null when there is no memory. Contents undefined. `alignment` up to a page. Context: any.
[[nodiscard]] void* heap_allocate(usize size, usize alignment = 16);
void heap_release(void* memory);
[[nodiscard]] HeapStatistics heap_statistics();

// ---- the records heap. Context: any.
[[nodiscard]] void* records_allocate(usize size, usize alignment);
void records_release(void* memory);
[[nodiscard]] HeapStatistics records_statistics();

// Has the tables made that map the range, in which nothing is mapped, page by page: what comes and goes there later
// takes no memory that stays. Maps the image's first page everywhere for a moment. Context: boot.
void prepare_page_tables(AddressRange range);

// ---- mappings, serialised by one lock. Context: any; see arch/x86_64/paging.h for what each does. Flushing is the
// caller's.
[[nodiscard]] arch::PagingResult<void> map_pages(VirtAddr at, PhysAddr physical, u64 size, arch::PageAccess access);
[[nodiscard]] arch::PagingResult<void> unmap_pages(VirtAddr at, u64 size);
[[nodiscard]] arch::PagingResult<void> protect_pages(VirtAddr at, u64 size, arch::PageAccess access);

}  // namespace graft::kernel
