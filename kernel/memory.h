// Memory: page frames, the two heaps over them, and changes of mappings. The heap is what operator new uses; its live
// objects are searched for references to patches. The records heap belongs to the patch core and is not searched.
//
// All pages are reached through the direct map.
#pragma once

#include <span>

#include "arch/x86_64/memory_map.h"
#include "arch/x86_64/paging.h"
#include "arch/x86_64/written_pages.h"
#include "base/function_ref.h"
#include "base/types.h"
#include "kernel/pure/heap.h"
#include "kernel/pure/page_allocator.h"

namespace graft::kernel {

// `usable`: RAM that nobody uses, mapped in the direct map. The allocator's own records are taken from it.
// Context: boot processor, once, after arch::init_paging(), before anything below.
void init_memory(std::span<const arch::PhysRange> usable);

// Memory below that limit that was in use until now, in whole pages, writable in the direct map. Context: any.
void add_pages(PhysAddr begin, u64 size);

// Where page tables come from after init_memory().
arch::PageSource& table_pages();

// ---- pages: consecutive, addressed in the direct map; null when there are none. Context: any.
[[nodiscard]] void* allocate_pages(u64 count, PageUse use);
void release_pages(void* pages);
u64 page_count(const void* pages);
[[nodiscard]] PageStatistics page_statistics();

// Where pages of use `patch` come from first, in the direct map; empty on a very small machine.
[[nodiscard]] AddressRange patch_arena();

// Calls visit(run) for each allocated run of pages, in ascending order of frames; no lock is held meanwhile, and what
// comes and goes during the walk may be missed or met. Frame numbers are physical addresses / kPageSize.
// Context: any; sees exactly what there is while the world is stopped.
void for_each_page_run(FunctionRef<void(const PageRun& run)> visit);
// One more than the largest frame number.
[[nodiscard]] u64 frame_limit();

// Hears of each run of pages that is given out, under the allocator's lock: before anybody can write to it.
class PageWatcher {
public:
    virtual void pages_allocated(u64 first_frame, u64 count) = 0;

protected:
    ~PageWatcher() = default;
};
// Null: nobody watches. When it returns, nobody is inside the one before. Context: any.
void watch_pages(PageWatcher* watcher);

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
[[nodiscard]] arch::PagingResult<bool> split_page(VirtAddr at);
// Returns the table's page, to be released after a flush, or null.
[[nodiscard]] void* join_pages(VirtAddr at);
// See arch/x86_64/written_pages.h. In steps: mappings may change between them. `visit` runs under the lock.
void visit_written_pages(AddressRange range, arch::DirtyBits bits, FunctionRef<void(PhysAddr, u64)> visit);

}  // namespace graft::kernel
