// Heap: size classes of page-sized slabs, and whole pages for what is larger. Each slab has a bitmap of its allocated
// objects, so that exactly the live ones can be enumerated. Released memory is zeroed: a stale word in a later object
// must not look like a reference.
//
// Layout: a slab is one page, its header first; so an object in a slab is never page-aligned and a large one always is.
// That tells the two apart at release.
//
// Locking: none; the owner locks. Context: any that may touch the page source. Host-testable.
#pragma once

#include <array>

#include "base/types.h"
#include "kernel/pure/page_allocator.h"

namespace graft::kernel {

// Where a heap gets its pages.
class HeapPages {
public:
    // Page-aligned and contiguous, or null. `use` tells slabs from large objects.
    [[nodiscard]] virtual void* allocate_pages(u64 count, PageUse use) = 0;
    virtual void release_pages(void* pages) = 0;
    // Pages of the run that starts at `pages`.
    [[nodiscard]] virtual u64 page_count(const void* pages) const = 0;

protected:
    ~HeapPages() = default;
};

struct HeapStatistics {
    u64 objects = 0;      // live, in slabs and large
    u64 bytes = 0;        // of them, rounded up to what they occupy
    u64 pages = 0;        // taken from the source
    u64 allocations = 0;  // ever
    u64 failures = 0;     // refused for want of pages
};

class Heap {
public:
    static constexpr usize kLargestSmall = 1984;
    static constexpr usize kHeaderSize = 64;

    // Slabs are marked `slab_use`, large objects `large_use`.
    constexpr Heap(HeapPages& source, PageUse slab_use, PageUse large_use)
        : source_(source), slab_use_(slab_use), large_use_(large_use) {}

    // Null when there are no pages. `alignment`: a power of two up to 4096. A size of 0 gives a unique address.
    [[nodiscard]] void* allocate(usize size, usize alignment = 16);
    void release(void* memory);
    usize usable_size(const void* memory) const;
    const HeapStatistics& statistics() const { return statistics_; }

    // Calls visit(VirtAddr begin, u64 size) for each live object of the slab that the page is.
    template <typename Visit>
    static void for_each_object(const void* page, Visit&& visit) {
        auto* slab = static_cast<const Slab*>(page);
        for (u32 i = 0; i < slab->capacity; ++i) {
            if ((slab->allocated[i / 64] >> (i % 64) & 1) == 0) continue;
            visit(VirtAddr(page) + kHeaderSize + u64{i} * slab->object_size, u64{slab->object_size});
        }
    }

private:
    static constexpr std::array<u16, 18> kClasses{16,  32,  48,  64,  96,  128, 192,  256,  320,
                                                  384, 448, 512, 640, 768, 960, 1344, 1984, 0};
    static constexpr usize kClassCount = 17;

    struct Slab {
        Slab* next;
        Slab* previous;
        u16 object_size;
        u16 capacity;
        u16 used;
        u8 size_class;
        bool listed;  // has room, so it is in its class's list
        u64 allocated[4];
    };
    static_assert(sizeof(Slab) <= kHeaderSize);

    static bool is_large(const void* memory) { return VirtAddr(memory).is_aligned(kPageSize); }
    static Slab* slab_of(const void* memory) { return VirtAddr(VirtAddr(memory).align_down(kPageSize)).as<Slab>(); }
    static usize class_for(usize size, usize alignment);

    void* allocate_large(usize size);
    Slab* make_slab(usize size_class);
    void list(Slab& slab);
    void unlist(Slab& slab);

    HeapPages& source_;
    PageUse slab_use_;
    PageUse large_use_;
    std::array<Slab*, kClassCount> with_room_{};
    HeapStatistics statistics_;
};

}  // namespace graft::kernel
