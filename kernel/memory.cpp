#include "kernel/memory.h"

#include <bit>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "kernel/image.h"
#include "kernel/lock.h"
#include "kernel/shadow.h"

namespace graft::kernel {

namespace {

constinit SpinLock pages_lock{LockRank::pages};
constinit PageAllocator pages;  // lock: pages_lock
// Where pages of use `patch` come from as long as it has some. Their place in the direct map is made read-only page by
// page, which splits its large pages: that shall happen in one place, not wherever free pages happen to be.
constinit PageAllocator arena;  // lock: pages_lock; frame numbers count from arena_first
constinit u64 arena_first = 0;  // constant after init_memory()
constinit u64 arena_frames = 0;
constinit PageWatcher* watcher = nullptr;  // lock: pages_lock
constinit SpinLock mapping_lock{LockRank::mapping};

u64 frame_of(const void* memory) {
    return arch::direct_map_physical(VirtAddr(memory)).value / kPageSize;
}
void* address_of(u64 frame) {
    return arch::direct_map(PhysAddr{frame * kPageSize}).as<void>();
}

class DirectPages final : public HeapPages {
public:
    void* allocate_pages(u64 count, PageUse use) override { return kernel::allocate_pages(count, use); }
    void release_pages(void* memory) override { kernel::release_pages(memory); }
    u64 page_count(const void* memory) const override { return kernel::page_count(memory); }
};

class TablePages final : public arch::PageSource {
public:
    PhysAddr allocate_pages(usize count) override {
        void* memory = kernel::allocate_pages(count, PageUse::tables);
        return memory ? arch::direct_map_physical(VirtAddr(memory)) : PhysAddr{};
    }
};

constinit DirectPages heap_pages;
constinit TablePages tables;
constinit Guarded<Heap, LockRank::heap> heap{heap_pages, PageUse::heap_slab, PageUse::heap_large};
constinit Guarded<Heap, LockRank::heap> records{heap_pages, PageUse::records, PageUse::records};

// The frame records lie in the first usable range that has room for them and is not scarce low memory.
arch::PhysRange choose_home(std::span<const arch::PhysRange> usable, u64 bytes) {
    constexpr PhysAddr kLowEnd{1024 * 1024};
    for (const arch::PhysRange& range : usable) {
        if (range.begin >= kLowEnd && range.size() >= bytes) return {range.begin, range.begin + bytes};
    }
    return {};
}

void add_range(PhysAddr begin, PhysAddr end) {
    u64 first = begin.align_up(kPageSize).value / kPageSize;
    u64 last = end.align_down(kPageSize).value / kPageSize;
    if (first == 0) first = 1;  // an address of 0 means "none"
    if (first < last) pages.add(first, last - first);
}

bool is_in_arena(u64 frame) {
    return frame >= arena_first && frame < arena_first + arena_frames;
}

// What starts at that frame. The arena is one run to the other allocator. Lock: pages_lock.
PageRun describe(u64 frame) {
    if (!is_in_arena(frame)) return pages.describe(frame);
    PageRun run = arena.describe(frame - arena_first);
    run.first += arena_first;
    return run;
}

// The next allocated run from `cursor` on, which it moves past it; an empty one when none was met in a bounded number
// of steps; nothing at the end.
std::optional<PageRun> next_run(u64& cursor) {
    constexpr u32 kSteps = 256;
    SpinGuard<IrqSave> guard(pages_lock);
    for (u32 i = 0; i < kSteps; ++i) {
        if (cursor >= pages.frame_count()) return std::nullopt;
        PageRun run = describe(cursor);
        cursor += run.count;
        if (run.use != PageUse::free && run.use != PageUse::reserved) return run;
    }
    return PageRun{};
}

void tell_watcher(u64 first, u64 count) {
    if (watcher) watcher->pages_allocated(first, count);
}

// A small share of the memory, in whole large pages. Lock: pages_lock.
void make_arena() {
    constexpr u64 kShare = 32;
    constexpr u64 kLargePage = arch::kLargePageSize / kPageSize;
    u64 frames = std::bit_floor(pages.statistics().total / kShare);
    if (frames > PageAllocator::kLargestRun) frames = PageAllocator::kLargestRun;
    if (frames < kLargePage) return;
    auto records = pages.allocate(pages_for(frames * sizeof(PageRecord)), PageUse::tables);
    auto first = pages.allocate(frames, PageUse::patch);
    if (!records || !first) return;
    arena_first = *first;
    arena_frames = frames;
    arena.initialise({static_cast<PageRecord*>(address_of(*records)), frames});
    arena.add(0, frames);
}

}  // namespace

void init_memory(std::span<const arch::PhysRange> usable) {
    PhysAddr top{};
    for (const arch::PhysRange& range : usable) top = range.end > top ? range.end : top;
    u64 frames = top.value / kPageSize;
    u64 bytes = pages_for(frames * sizeof(PageRecord)) * kPageSize;
    arch::PhysRange home = choose_home(usable, bytes);
    GRAFT_ASSERT(!home.empty());

    SpinGuard<IrqSave> guard(pages_lock);
    pages.initialise({arch::direct_map(home.begin).as<PageRecord>(), frames});
    for (const arch::PhysRange& range : usable) {
        bool holds_home = range.begin <= home.begin && home.end <= range.end;
        add_range(holds_home ? home.end : range.begin, range.end);
    }
    make_arena();
}

void add_pages(PhysAddr begin, u64 size) {
    SpinGuard<IrqSave> guard(pages_lock);
    add_range(begin, begin + size);
}

arch::PageSource& table_pages() {
    return tables;
}

AddressRange patch_arena() {
    return AddressRange::of(VirtAddr(address_of(arena_first)), arena_frames * kPageSize);
}

void* allocate_pages(u64 count, PageUse use) {
    SpinGuard<IrqSave> guard(pages_lock);
    if (use == PageUse::patch && arena_frames != 0) {
        if (auto first = arena.allocate(count, use)) {
            tell_watcher(arena_first + *first, count);
            return address_of(arena_first + *first);
        }
    }
    auto first = pages.allocate(count, use);
    if (!first) return nullptr;
    tell_watcher(*first, count);
    return address_of(*first);
}

void release_pages(void* memory) {
    SpinGuard<IrqSave> guard(pages_lock);
    u64 frame = frame_of(memory);
    if (is_in_arena(frame)) {
        arena.release(frame - arena_first);
    } else {
        pages.release(frame);
    }
}

u64 page_count(const void* memory) {
    SpinGuard<IrqSave> guard(pages_lock);
    u64 frame = frame_of(memory);
    return is_in_arena(frame) ? arena.run_at(frame - arena_first) : pages.run_at(frame);
}

PageStatistics page_statistics() {
    SpinGuard<IrqSave> guard(pages_lock);
    PageStatistics all = pages.statistics();
    if (arena_frames == 0) return all;
    // The arena is one run to the other allocator; what is free in it counts as free.
    all.by_use[static_cast<usize>(PageUse::patch)] -= arena.statistics().free;
    all.free += arena.statistics().free;
    return all;
}

u64 frame_limit() {
    return pages.frame_count();  // constant after init_memory()
}

void for_each_page_run(FunctionRef<void(const PageRun& run)> visit) {
    u64 cursor = 0;
    while (auto run = next_run(cursor)) {
        if (run->count != 0) visit(*run);
    }
}

void watch_pages(PageWatcher* wanted) {
    SpinGuard<IrqSave> guard(pages_lock);
    watcher = wanted;
}

void* heap_allocate(usize size, usize alignment) {
    return heap.with([&](Heap& all) { return all.allocate(size, alignment); });
}

void heap_release(void* memory) {
    note_freed_object(memory);  // before somebody else can get the address
    heap.with([&](Heap& all) { all.release(memory); });
}

HeapStatistics heap_statistics() {
    return heap.with([](Heap& all) { return all.statistics(); });
}

void* records_allocate(usize size, usize alignment) {
    return records.with([&](Heap& all) { return all.allocate(size, alignment); });
}

void records_release(void* memory) {
    records.with([&](Heap& all) { all.release(memory); });
}

HeapStatistics records_statistics() {
    return records.with([](Heap& all) { return all.statistics(); });
}

void prepare_page_tables(AddressRange range) {
    PhysAddr any = arch::image_physical(image_range(ImageSection::whole).begin);
    for (VirtAddr at = range.begin; at < range.end; at += arch::kLargePageSize) {
        bool made = map_pages(at, any, kPageSize, arch::PageAccess::read_only) && unmap_pages(at, kPageSize);
        GRAFT_ASSERT(made);
    }
}

arch::PagingResult<void> map_pages(VirtAddr at, PhysAddr physical, u64 size, arch::PageAccess access) {
    SpinGuard<IrqSave> guard(mapping_lock);
    return arch::map(at, physical, size, access);
}

arch::PagingResult<void> unmap_pages(VirtAddr at, u64 size) {
    SpinGuard<IrqSave> guard(mapping_lock);
    return arch::unmap(at, size);
}

arch::PagingResult<void> protect_pages(VirtAddr at, u64 size, arch::PageAccess access) {
    SpinGuard<IrqSave> guard(mapping_lock);
    return arch::protect(at, size, access);
}

arch::PagingResult<bool> split_page(VirtAddr at) {
    SpinGuard<IrqSave> guard(mapping_lock);
    return arch::split(at);
}

void* join_pages(VirtAddr at) {
    SpinGuard<IrqSave> guard(mapping_lock);
    PhysAddr table = arch::join(at);
    return table ? arch::direct_map(table).as<void>() : nullptr;
}

void visit_written_pages(AddressRange range, arch::DirtyBits bits, FunctionRef<void(PhysAddr, u64)> visit) {
    constexpr u64 kStep = 32 << 20;  // some ten thousand entries with interrupts off
    while (!range.empty()) {
        u64 step = range.size() < kStep ? range.size() : kStep;
        SpinGuard<IrqSave> guard(mapping_lock);
        arch::visit_written_pages(AddressRange::of(range.begin, step), bits, visit);
        range.begin += step;
    }
}

}  // namespace graft::kernel
