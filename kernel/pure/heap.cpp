#include "kernel/pure/heap.h"

#include <bit>
#include <cstring>

#include "base/assert.h"

namespace graft::kernel {

void* Heap::allocate(usize size, usize alignment) {
    GRAFT_ASSERT((alignment & (alignment - 1)) == 0 && alignment != 0 && alignment <= kPageSize);
    usize size_class = class_for(size, alignment);
    if (size_class == kClassCount) return allocate_large(size);

    Slab* slab = with_room_[size_class];
    if (!slab) slab = make_slab(size_class);
    if (!slab) {
        ++statistics_.failures;
        return nullptr;
    }
    usize word = 0;
    while (slab->allocated[word] == ~u64{0}) ++word;
    auto bit = static_cast<usize>(std::countr_one(slab->allocated[word]));
    slab->allocated[word] |= u64{1} << bit;
    if (++slab->used == slab->capacity) unlist(*slab);
    ++statistics_.allocations;
    ++statistics_.objects;
    statistics_.bytes += slab->object_size;
    return reinterpret_cast<std::byte*>(slab) + kHeaderSize + (word * 64 + bit) * slab->object_size;
}

void* Heap::allocate_large(usize size) {
    u64 count = pages_for(size == 0 ? 1 : size);
    void* pages = count < size / kPageSize ? nullptr : source_.allocate_pages(count, large_use_);
    if (!pages) {
        ++statistics_.failures;
        return nullptr;
    }
    ++statistics_.allocations;
    ++statistics_.objects;
    statistics_.bytes += count * kPageSize;
    statistics_.pages += count;
    return pages;
}

void Heap::release(void* memory) {
    if (!memory) return;
    --statistics_.objects;
    if (is_large(memory)) {
        u64 count = source_.page_count(memory);
        std::memset(memory, 0, count * kPageSize);
        statistics_.bytes -= count * kPageSize;
        statistics_.pages -= count;
        source_.release_pages(memory);
        return;
    }
    Slab* slab = slab_of(memory);
    auto offset = VirtAddr(memory) - VirtAddr(slab) - kHeaderSize;
    auto index = offset / slab->object_size;
    GRAFT_ASSERT(offset % slab->object_size == 0 && index < slab->capacity);
    GRAFT_ASSERT((slab->allocated[index / 64] >> (index % 64) & 1) != 0);

    std::memset(memory, 0, slab->object_size);
    slab->allocated[index / 64] &= ~(u64{1} << (index % 64));
    statistics_.bytes -= slab->object_size;
    --slab->used;
    if (!slab->listed) list(*slab);
    // No empty slab is kept: equal objects take equal pages, whatever came and went in between.
    if (slab->used != 0) return;
    unlist(*slab);
    --statistics_.pages;
    source_.release_pages(slab);
}

usize Heap::usable_size(const void* memory) const {
    return is_large(memory) ? source_.page_count(memory) * kPageSize : slab_of(memory)->object_size;
}

// The smallest class that holds `size` and whose objects are all aligned: the header and the class size are multiples
// of the alignment. kClassCount: too large for a slab.
usize Heap::class_for(usize size, usize alignment) {
    if (alignment > kHeaderSize || size > kLargestSmall) return kClassCount;
    for (usize i = 0; i < kClassCount; ++i) {
        if (kClasses[i] >= size && kClasses[i] % alignment == 0) return i;
    }
    return kClassCount;
}

Heap::Slab* Heap::make_slab(usize size_class) {
    void* page = source_.allocate_pages(1, slab_use_);
    if (!page) return nullptr;
    std::memset(page, 0, kPageSize);
    auto* slab = static_cast<Slab*>(page);
    slab->object_size = kClasses[size_class];
    slab->capacity = static_cast<u16>((kPageSize - kHeaderSize) / slab->object_size);
    slab->size_class = static_cast<u8>(size_class);
    ++statistics_.pages;
    list(*slab);
    return slab;
}

void Heap::list(Slab& slab) {
    Slab*& head = with_room_[slab.size_class];
    slab.previous = nullptr;
    slab.next = head;
    if (head) head->previous = &slab;
    head = &slab;
    slab.listed = true;
}

void Heap::unlist(Slab& slab) {
    if (slab.previous) {
        slab.previous->next = slab.next;
    } else {
        with_room_[slab.size_class] = slab.next;
    }
    if (slab.next) slab.next->previous = slab.previous;
    slab.next = nullptr;
    slab.previous = nullptr;
    slab.listed = false;
}

}  // namespace graft::kernel
