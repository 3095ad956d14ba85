// Memory before the kernel's allocator: which RAM is whose, and pages for the first page tables.
//
// Not for use: below 1 MiB (firmware, and one page in which processors start), the image, the boot modules.
// Context: boot processor, boot; no locks.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "arch/x86_64/paging.h"
#include "boot/boot_info.h"

namespace graft::boot {

inline constexpr usize kMaxFreeRanges = 2 * kMaxMemoryEntries;

class EarlyMemory final : public arch::PageSource {
public:
    // `image`: physical addresses of all that was loaded.
    EarlyMemory(const BootInfo& info, arch::PhysRange image);

    // From the lowest range that is large enough, below 4 GiB: what the early page tables reach.
    PhysAddr allocate_pages(usize count) override;

    // What is left for the kernel's allocator: page-aligned, ascending, without overlap.
    std::span<const arch::PhysRange> free_ranges() const { return {free_.data(), free_count_}; }
    // All RAM, used or not, the first MiB included: what the direct map shows.
    std::span<const arch::PhysRange> ram() const { return {ram_.data(), ram_count_}; }
    // Every byte of it is RAM that the direct map shows; so is an empty range.
    bool is_in_ram(arch::PhysRange range) const;
    // A usable page below 640 KiB for init_smp(); nothing if there is none.
    std::optional<PhysAddr> low_page() const { return low_page_; }

private:
    void add_free(arch::PhysRange range);
    void take_out(arch::PhysRange used);
    void find_low_page();

    std::array<arch::PhysRange, kMaxFreeRanges> free_{};
    usize free_count_ = 0;
    std::array<arch::PhysRange, kMaxMemoryEntries + 1> ram_{};
    usize ram_count_ = 0;
    std::optional<PhysAddr> low_page_;
};

}  // namespace graft::boot
