#include "kernel/pure/address_space.h"

#include "base/assert.h"

namespace graft::kernel {

void AddressSpace::initialise(AddressRange region, std::span<u64> bits, u64 quarantine) {
    region_ = region;
    bits_ = bits;
    page_count_ = region.size() / kPageSize;
    quarantine_ = quarantine;
    GRAFT_ASSERT(bits_.size() * 64 >= page_count_);
}

std::optional<VirtAddr> AddressSpace::allocate(u64 pages) {
    if (pages == 0 || pages + 2 > page_count_) return std::nullopt;
    ++allocations_;
    admit_ready();
    for (;;) {
        if (auto first = find(pages)) {
            set(*first, pages, true);
            in_use_ += pages;
            return region_.begin + *first * kPageSize;
        }
        if (waiting_count_ == 0) return std::nullopt;
        admit_oldest();
    }
}

void AddressSpace::release(VirtAddr begin, u64 pages) {
    u64 first = (begin - region_.begin) / kPageSize;
    GRAFT_ASSERT(region_.contains(begin) && bit(first));
    in_use_ -= pages;
    if (quarantine_ == 0) {
        set(first, pages, false);
        return;
    }
    if (waiting_count_ == kWaiting) admit_oldest();
    waiting_[(oldest_ + waiting_count_) % kWaiting] = {first, pages, allocations_ + quarantine_};
    ++waiting_count_;
}

bool AddressSpace::is_allocated(VirtAddr address) const {
    return region_.contains(address) && bit((address - region_.begin) / kPageSize);
}

void AddressSpace::set(u64 first, u64 pages, bool value) {
    for (u64 page = first; page < first + pages; ++page) {
        GRAFT_ASSERT(bit(page) != value);
        bits_[page / 64] ^= u64{1} << (page % 64);
    }
}

// The first of `pages` clear pages whose neighbours on both sides are clear too.
std::optional<u64> AddressSpace::find(u64 pages) const {
    u64 clear = 0;
    for (u64 page = 0; page < page_count_; ++page) {
        if (page % 64 == 0 && clear == 0 && bits_[page / 64] == ~u64{0}) {
            page += 63;
            continue;
        }
        clear = bit(page) ? 0 : clear + 1;
        if (clear == pages + 2) return page - pages;
    }
    return std::nullopt;
}

void AddressSpace::admit_ready() {
    while (waiting_count_ != 0 && waiting_[oldest_].ready_at < allocations_) admit_oldest();
}

void AddressSpace::admit_oldest() {
    const Waiting& piece = waiting_[oldest_];
    set(piece.first, piece.pages, false);
    oldest_ = (oldest_ + 1) % kWaiting;
    --waiting_count_;
}

}  // namespace graft::kernel
