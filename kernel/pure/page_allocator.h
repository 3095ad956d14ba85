// PageAllocator: a buddy allocator over page frames. It hands out runs of any number of frames: a power of two is split
// off and the tail goes back at once, so a run wastes nothing. One record a frame says what the frame is used for, so
// that everything in use can be enumerated (the search for references does).
//
// Invariants:
//   I1  a free block of order k starts at a multiple of 2^k frames; its first record is in the list of that order
//   I2  two free buddies of one order never exist side by side: they are merged
//   I3  the first record of an allocated run holds the run's length, the others hold 0
//
// Frame numbers are absolute (physical address / 4096), so alignment of a block is alignment of its address.
// Locking: none; the owner locks. Context: any. Host-testable: touches nothing but its records.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/types.h"

namespace graft::kernel {

inline constexpr u64 kPageSize = 4096;
constexpr u64 pages_for(u64 bytes) {
    return (bytes + kPageSize - 1) / kPageSize;
}

enum class PageUse : u8 {
    free,
    reserved,    // never handed out: firmware, the image, holes
    heap_slab,   // objects of the searched heap
    heap_large,  // one large object of the searched heap
    records,     // the patch core's own objects: not searched
    stack,
    patch,   // text and data of patches
    tables,  // page tables and the allocator's own records
    raw,     // whoever asked for pages; searched
};
inline constexpr usize kPageUseCount = 9;

struct PageRecord {
    u32 next = 0;
    u32 previous = 0;
    u32 run = 0;
    u8 order = 0;
    PageUse use = PageUse::reserved;
};
static_assert(sizeof(PageRecord) == 16);

// Consecutive frames of one use: an allocated run, a free block, or a piece of what is neither.
struct PageRun {
    u64 first = 0;
    u64 count = 0;
    PageUse use = PageUse::reserved;
};

struct PageStatistics {
    u64 total = 0;  // frames under management
    u64 free = 0;
    std::array<u64, kPageUseCount> by_use{};  // by PageUse; `reserved` counts what add() never gave
};

class PageAllocator {
public:
    static constexpr unsigned kOrders = 15;  // largest block: 2^14 frames, 64 MiB
    static constexpr u64 kLargestRun = u64{1} << (kOrders - 1);

    // `records[n]` describes frame n; all frames are reserved until add().
    void initialise(std::span<PageRecord> records);
    // Gives the frames [first, first + count) to the allocator. They must be reserved so far.
    void add(u64 first, u64 count);

    // The first of `count` consecutive frames; nothing when no block is large enough. 0 < count <= kLargestRun.
    [[nodiscard]] std::optional<u64> allocate(u64 count, PageUse use);
    // `first` is what allocate() returned.
    void release(u64 first);

    u64 frame_count() const { return records_.size(); }
    PageUse use_of(u64 frame) const { return records_[frame].use; }
    // Length of the allocated run that starts at `first`; 0 when none starts there.
    u64 run_at(u64 first) const { return records_[first].use == PageUse::free ? 0 : records_[first].run; }
    // The run or block that starts at `first`, or that one frame when none does. Stepping by `count` from 0 meets all.
    PageRun describe(u64 first) const;
    const PageStatistics& statistics() const { return statistics_; }

private:
    static constexpr u32 kNone = ~u32{0};
    static constexpr u8 kInside = 0xff;  // order of a frame that heads no free block

    void free_range(u64 first, u64 count);
    void free_block(u64 first, unsigned order);
    void insert(u64 first, unsigned order);
    void unlink(u64 first, unsigned order);

    std::span<PageRecord> records_;
    std::array<u32, kOrders> heads_{};
    u32 nonempty_ = 0;  // bit k: the list of order k has a block
    PageStatistics statistics_;
};

}  // namespace graft::kernel
