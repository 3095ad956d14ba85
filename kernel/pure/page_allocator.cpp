#include "kernel/pure/page_allocator.h"

#include <bit>

#include "base/assert.h"

namespace graft::kernel {

void PageAllocator::initialise(std::span<PageRecord> records) {
    records_ = records;
    heads_.fill(kNone);
    nonempty_ = 0;
    statistics_ = {};
    for (PageRecord& record : records_) record = PageRecord{0, 0, 0, kInside, PageUse::reserved};
}

void PageAllocator::add(u64 first, u64 count) {
    GRAFT_ASSERT(first + count <= records_.size());
    for (u64 frame = first; frame < first + count; ++frame) GRAFT_ASSERT(records_[frame].use == PageUse::reserved);
    statistics_.total += count;
    free_range(first, count);
}

std::optional<u64> PageAllocator::allocate(u64 count, PageUse use) {
    GRAFT_ASSERT(count != 0 && use != PageUse::free);
    if (count > kLargestRun) return std::nullopt;
    auto order = static_cast<unsigned>(std::bit_width(count - 1));
    u32 candidates = nonempty_ >> order << order;
    if (candidates == 0) return std::nullopt;

    auto found = static_cast<unsigned>(std::countr_zero(candidates));
    u64 first = heads_[found];
    unlink(first, found);
    u64 size = u64{1} << found;
    for (u64 frame = first; frame < first + count; ++frame) records_[frame] = {0, 0, 0, kInside, use};
    records_[first].run = static_cast<u32>(count);
    statistics_.free -= size;
    statistics_.by_use[static_cast<usize>(use)] += count;
    free_range(first + count, size - count);
    return first;
}

void PageAllocator::release(u64 first) {
    GRAFT_ASSERT(first < records_.size());
    PageRecord& head = records_[first];
    GRAFT_ASSERT(head.use != PageUse::free && head.use != PageUse::reserved && head.run != 0);
    u64 count = head.run;
    statistics_.by_use[static_cast<usize>(head.use)] -= count;
    free_range(first, count);
}

PageRun PageAllocator::describe(u64 first) const {
    const PageRecord& record = records_[first];
    u64 count = 1;
    if (record.run != 0) count = record.run;
    if (record.use == PageUse::free && record.order != kInside) count = u64{1} << record.order;
    return {first, count, record.use};
}

void PageAllocator::free_range(u64 first, u64 count) {
    statistics_.free += count;
    for (u64 frame = first; frame < first + count; ++frame) records_[frame] = {0, 0, 0, kInside, PageUse::free};
    while (count != 0) {
        unsigned by_size = static_cast<unsigned>(std::bit_width(count)) - 1;
        unsigned by_alignment = first == 0 ? kOrders - 1 : static_cast<unsigned>(std::countr_zero(first));
        unsigned order = by_size < by_alignment ? by_size : by_alignment;
        if (order > kOrders - 1) order = kOrders - 1;
        free_block(first, order);
        first += u64{1} << order;
        count -= u64{1} << order;
    }
}

void PageAllocator::free_block(u64 first, unsigned order) {
    while (order < kOrders - 1) {
        u64 buddy = first ^ (u64{1} << order);
        if (buddy + (u64{1} << order) > records_.size()) break;
        const PageRecord& record = records_[buddy];
        if (record.use != PageUse::free || record.order != order) break;
        unlink(buddy, order);
        first &= ~(u64{1} << order);
        ++order;
    }
    insert(first, order);
}

void PageAllocator::insert(u64 first, unsigned order) {
    PageRecord& record = records_[first];
    record.order = static_cast<u8>(order);
    record.previous = kNone;
    record.next = heads_[order];
    if (record.next != kNone) records_[record.next].previous = static_cast<u32>(first);
    heads_[order] = static_cast<u32>(first);
    nonempty_ |= u32{1} << order;
}

void PageAllocator::unlink(u64 first, unsigned order) {
    PageRecord& record = records_[first];
    if (record.previous != kNone) {
        records_[record.previous].next = record.next;
    } else {
        heads_[order] = record.next;
    }
    if (record.next != kNone) records_[record.next].previous = record.previous;
    if (heads_[order] == kNone) nonempty_ &= ~(u32{1} << order);
    record.order = kInside;
}

}  // namespace graft::kernel
