// AddressSpace: hands out page-aligned pieces of one region of virtual addresses, each followed by an unmapped page,
// and keeps released pieces away from reuse for a number of later allocations, so that a stale pointer into one faults
// instead of finding somebody else.
//
// One bit a page; first fit, so that the page tables in use stay few. Released pieces wait in a queue of kWaiting
// records; should it be full, the oldest comes back early: an address is a scarcer thing than a diagnosis. Locking:
// none; the owner locks. Context: any. Host-testable: touches no memory of the region.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "base/types.h"
#include "kernel/pure/page_allocator.h"

namespace graft::kernel {

class AddressSpace {
public:
    // `bits` holds one bit a page of `region` (region pages / 64 words), zeroed. `quarantine`: how many allocations
    // must pass before a released piece may be used again; 0 = at once.
    void initialise(AddressRange region, std::span<u64> bits, u64 quarantine);

    // `pages` mapped-to-be pages with an unused page before and after them.
    [[nodiscard]] std::optional<VirtAddr> allocate(u64 pages);
    void release(VirtAddr begin, u64 pages);

    AddressRange region() const { return region_; }
    // The piece's guard pages are inside the region but in no piece: for telling an overflow from a wild pointer.
    bool is_allocated(VirtAddr address) const;
    u64 pages_in_use() const { return in_use_; }

private:
    static constexpr usize kWaiting = 1024;

    struct Waiting {
        u64 first;
        u64 pages;
        u64 ready_at;  // allocation number
    };

    bool bit(u64 page) const { return (bits_[page / 64] >> (page % 64) & 1) != 0; }
    void set(u64 first, u64 pages, bool value);
    std::optional<u64> find(u64 pages) const;
    void admit_ready();
    void admit_oldest();

    AddressRange region_;
    std::span<u64> bits_;  // set = in use or waiting
    u64 page_count_ = 0;
    u64 in_use_ = 0;
    u64 quarantine_ = 0;
    u64 allocations_ = 0;
    std::array<Waiting, kWaiting> waiting_{};
    usize oldest_ = 0;
    usize waiting_count_ = 0;
};

}  // namespace graft::kernel
