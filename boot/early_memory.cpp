#include "boot/early_memory.h"

#include <algorithm>

namespace graft::boot {

using arch::kPageSize;
using arch::PhysRange;

namespace {

constexpr PhysAddr kLowEnd{0x10'0000};
constexpr PhysAddr kConventionalEnd{0xa'0000};
constexpr PhysAddr kDirectMapEnd{arch::kDirectMapSize};
constexpr PhysAddr kEarlyLimit{u64{4} << 30};
// Not page 0, where a null pointer would hit it, and nothing below the tables of the BIOS.
constexpr PhysAddr kFirstLowPage{0x1000};

bool overlap(PhysRange left, PhysRange right) {
    return left.begin < right.end && right.begin < left.end;
}

// Also keeps the alignments below from wrapping.
PhysRange cut_to_direct_map(PhysRange range) {
    return {std::min(range.begin, kDirectMapEnd), std::min(range.end, kDirectMapEnd)};
}

bool is_ram(MemoryType type) {
    return type == MemoryType::usable || type == MemoryType::acpi_reclaimable || type == MemoryType::acpi_nvs;
}

}  // namespace

EarlyMemory::EarlyMemory(const BootInfo& info, PhysRange image) {
    ram_[ram_count_++] = {PhysAddr{0}, kLowEnd};
    for (const MemoryEntry& entry : info.memory_map()) {
        if (is_ram(entry.type) && entry.range.end > kLowEnd)
            ram_[ram_count_++] = {std::max(entry.range.begin, kLowEnd), entry.range.end};
        if (entry.type == MemoryType::usable) add_free(entry.range);
    }
    // Where firmware contradicts itself, the stricter entry holds.
    for (const MemoryEntry& entry : info.memory_map())
        if (entry.type != MemoryType::usable) take_out(entry.range);
    take_out(image);
    for (const Module& module : info.module_list()) take_out(module.range);
    find_low_page();
    take_out({PhysAddr{0}, kLowEnd});
    std::sort(free_.begin(), free_.begin() + free_count_,
              [](const PhysRange& left, const PhysRange& right) { return left.begin < right.begin; });
}

PhysAddr EarlyMemory::allocate_pages(usize count) {
    u64 size = count * kPageSize;
    for (PhysRange& range : std::span(free_.data(), free_count_)) {
        if (range.begin >= kEarlyLimit || range.size() < size || kEarlyLimit - range.begin < size) continue;
        PhysAddr pages = range.begin;
        range.begin += size;
        return pages;
    }
    return {};
}

bool EarlyMemory::is_in_ram(PhysRange range) const {
    if (range.end > kDirectMapEnd) return false;
    PhysAddr at = range.begin;
    // Each step ends another entry, so as many as there are suffice.
    for (usize step = 0; step <= ram_count_ && at < range.end; ++step) {
        for (const PhysRange& entry : ram())
            if (at >= entry.begin && at < entry.end) at = entry.end;
    }
    return at >= range.end;
}

void EarlyMemory::add_free(PhysRange range) {
    range = cut_to_direct_map(range);
    PhysRange pages{range.begin.align_up(kPageSize), range.end.align_down(kPageSize)};
    // What is listed twice is free once.
    for (const PhysRange& other : std::span(free_.data(), free_count_))
        if (overlap(other, pages)) return;
    if (!pages.empty() && free_count_ < free_.size()) free_[free_count_++] = pages;
}

void EarlyMemory::take_out(PhysRange used) {
    used = cut_to_direct_map(used);
    used = {used.begin.align_down(kPageSize), used.end.align_up(kPageSize)};
    for (usize index = 0; index < free_count_; ++index) {
        PhysRange range = free_[index];
        if (!overlap(range, used)) continue;
        PhysRange below{range.begin, std::max(range.begin, used.begin)};
        PhysRange above{std::min(range.end, used.end), range.end};
        free_[index] = below;
        if (!above.empty() && free_count_ < free_.size()) free_[free_count_++] = above;
    }
    usize kept = 0;
    for (usize index = 0; index < free_count_; ++index)
        if (!free_[index].empty()) free_[kept++] = free_[index];
    free_count_ = kept;
}

void EarlyMemory::find_low_page() {
    for (const PhysRange& range : std::span(free_.data(), free_count_)) {
        PhysAddr page = std::max(range.begin, kFirstLowPage);
        if (page < kConventionalEnd && page + kPageSize <= std::min(range.end, kConventionalEnd)) {
            low_page_ = page;
            return;
        }
    }
}

}  // namespace graft::boot
